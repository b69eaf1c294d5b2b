"""A project with a manifest, receipts and outputs, in which faults are planted one by one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from builders import a_spec

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.spec import JobSpec, Output
from conductor.record import manifest
from conductor.verify.report import VerifyFinding, VerifyReport
from conductor.verify.verify import Checks, verify


class VerifyScene:
    def __init__(self, folder: Path) -> None:
        (folder / CONFIG_NAME).touch(exist_ok=True)
        self.settings: Settings = load(folder)
        self.manifest = folder / "m.jsonl"
        self.log = FileReceiptLog(self.settings.receipts_dir, "w1")
        self.specs: list[JobSpec] = []

    def job(self, n: int = 0, name: str = "out.json", /, **changes: Any) -> JobSpec:
        writes = (Output(path=f"scratch:t/{{id}}/{name}"),) if name else ()
        spec = a_spec(n, **{"writes": writes, **changes})
        self.specs.append(spec)
        return spec

    def file(self, path: str) -> Path:
        root, _, relative = path.partition(":")
        return self.settings.roots[root].path / relative

    def done(self, spec: JobSpec, content: bytes = b"{}", attempt: int = 1, **changes: Any) -> Receipt:
        facts: list[OutputFact] = []
        for output in spec.writes:
            self.file(output.path).parent.mkdir(parents=True, exist_ok=True)
            self.file(output.path).write_bytes(content)
            facts.append(
                OutputFact(path=output.path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            )
        return self.receipt(spec, attempt, outcome="ok", outputs=tuple(facts), **changes)

    def receipt(self, spec: JobSpec, attempt: int = 1, **changes: Any) -> Receipt:
        values: dict[str, Any] = {"v": 1, "job_id": spec.id, "attempt": attempt, "workflow": spec.workflow}
        values |= {"task": spec.task, "started_at": 1.0, "ended_at": 2.0, "node": "n", "worker": "w"}
        receipt = Receipt(**{**values, **changes})
        self.log.append(receipt)
        return receipt

    def verify(self, checks: Checks | None = None, **options: Any) -> VerifyReport:
        manifest.write(self.manifest, self.specs)
        return verify(self.manifest, self.settings.receipts_dir, self.settings.layout, checks, **options)


def only(report: VerifyReport) -> VerifyFinding:
    assert report.exit_code == 1 and not report.is_good
    (finding,) = report.findings
    return finding
