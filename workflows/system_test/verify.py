"""Holds system_test's results against what was asked: echoes came back, sleeps slept, lifecycles are
complete, each once, and nothing of them is left in their stores. Says how long the steps took.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

from collections import Counter
from collections.abc import Iterator

from conductor.base.errors import ConductorError
from conductor.base.files.layout import CodeSettings
from conductor.base.text import many
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.planning import open_store
from conductor.ports.store import SqlStore
from conductor.verify.report import VerifyFinding
from conductor.verify.verify import Checks, JobFacts
from workers.crud.latencies import in_words
from workers.crud.lifecycle import STEPS, WRITES
from workers.tasks.crud import StressArgs

LIFECYCLE = ("create", "read", "update", "delete")
PARTS = "SELECT job, part, writes, created, updated, deleted FROM system_test_parts"
LEFT = "SELECT job, count(*) FROM system_test_items GROUP BY job"


def checks(settings: CodeSettings) -> Checks:
    proof = SystemTestProof(settings)
    return Checks(jobs=(proof.check_job,), whole=(proof.check_stores,), measured=(proof.measured,))


class SystemTestProof:
    """Remembers what was done in which store, looks into each once at the end, and adds up latencies."""

    def __init__(self, settings: CodeSettings) -> None:
        self.settings = settings
        #: Store → job → (its parts, writes of each, rows that each leads through their lives).
        self.lived: dict[str, dict[str, tuple[int, int, int]]] = {}
        self.latency = {step: Counter[int]() for step in STEPS}
        #: Store → rows there that no job has which is done and of this manifest.
        self.others = Counter[str]()

    # ── each job ──────────────────────────────────────────────────────────────────────────────────────────

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        result = receipt.result
        if spec.task == "diagnostics.echo" and result.get("echo") != spec.args:
            yield f"echoed {result.get('echo')!r} instead of {spec.args!r}"
        if spec.task == "diagnostics.sleep" and receipt.seconds < spec.args["seconds"]:
            yield f"slept {receipt.seconds:.2f} s instead of {spec.args['seconds']:g} s"
        if spec.task.startswith("crud."):
            parts, rounds, rows = shape_of(spec)
            yield from lifecycle_faults(receipt, parts * rounds * rows)
            yield from self._slept(spec, receipt)
            self._remember(receipt)
            if (store := spec.args.get("store")) is not None:
                jobs = self.lived.setdefault(str(store), {})
                jobs[spec.id] = (parts, len(WRITES) * rounds, rounds * rows)

    def _slept(self, spec: JobSpec, receipt: Receipt) -> Iterator[str]:
        steps = receipt.result.get("lifecycle", [])
        own = sum(not step.get("earlier") for step in steps)
        asked = own * spec.args.get("seconds", 0.0)
        if receipt.seconds < asked:
            yield f"waited {receipt.seconds:.2f} s instead of {asked:g} s"

    def _remember(self, receipt: Receipt) -> None:
        for step, buckets in receipt.result.get("latency", {}).items():
            for bucket, count in buckets.items():
                self.latency[step][int(bucket)] += count

    # ── the stores ────────────────────────────────────────────────────────────────────────────────────────

    def check_stores(self) -> Iterator[VerifyFinding]:
        for name, jobs in sorted(self.lived.items()):
            try:
                with open_store(self.settings, name) as store:
                    yield from self._parts(store, name, dict(jobs))
                    yield from self._left(store, name, jobs)
            except ConductorError as e:
                yield VerifyFinding(kind="missing", subject=name, message=str(e))

    def _parts(
        self, store: SqlStore, name: str, jobs: dict[str, tuple[int, int, int]]
    ) -> Iterator[VerifyFinding]:
        seen = Counter[str]()
        for job, part, writes, *touched in store.read(PARTS):
            if job not in jobs:
                continue
            seen[job] += 1
            _, right_writes, rows = jobs[job]
            if (writes, *touched) != (right_writes, rows, rows, rows):
                said = ", ".join(f"{n} {what}" for n, what in zip(touched, WRITES_DONE, strict=True))
                words = f"part {part}: {said} by {writes} writes; its {many(rows, 'row')} take {right_writes}"
                is_twice = max(writes - right_writes, *(n - rows for n in touched)) > 0
                kind = "duplicate" if is_twice else "wrong"
                yield VerifyFinding(kind=kind, job_id=job, subject=name, message=words)
        for job, (parts, _, _) in jobs.items():
            if seen[job] != parts:
                words = f"is done, and its store has {seen[job]} of its {many(parts, 'part')}"
                yield VerifyFinding(kind="missing", job_id=job, subject=name, message=words)

    def _left(
        self, store: SqlStore, name: str, jobs: dict[str, tuple[int, int, int]]
    ) -> Iterator[VerifyFinding]:
        for job, rows in store.read(LEFT):
            if job in jobs:
                words = f"{many(rows, 'row')} of it left over in the store"
                yield VerifyFinding(kind="wrong", job_id=job, subject=name, message=words)
            else:
                self.others[name] += rows

    # ── what was measured ─────────────────────────────────────────────────────────────────────────────────

    def measured(self) -> Iterator[str]:
        for step in STEPS:
            if self.latency[step]:
                yield f"{step:<10} {in_words(self.latency[step])}"
        for name, rows in sorted(self.others.items()):
            yield f"store {name} holds {many(rows, 'row')} of jobs that are not done, or of another manifest"


WRITES_DONE = ("created", "updated", "deleted")


def shape_of(spec: JobSpec) -> tuple[int, int, int]:
    """(parts, rounds of each, rows of a round)"""
    if spec.task == "crud.stress":
        given = {name: spec.args[name] for name in ("threads", "rounds") if name in spec.args}
        stress = StressArgs(**given)
        return stress.threads, stress.rounds, 1
    return 1, 1, spec.args["rows"]


def lifecycle_faults(receipt: Receipt, rows: int) -> Iterator[str]:
    """Every step of the lifecycle, in order, over every row."""
    steps = receipt.result.get("lifecycle", [])
    names = [step.get("step") for step in steps]
    if [name for name in names if name in LIFECYCLE] != list(LIFECYCLE):
        yield f"its lifecycle is {', '.join(map(str, names)) or 'empty'} instead of {', '.join(LIFECYCLE)}"
    for step in steps:
        if step.get("rows") != rows:
            yield f"{step.get('step')} touched {step.get('rows')} rows instead of {rows}"


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("system_test"))
