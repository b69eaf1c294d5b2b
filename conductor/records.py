"""The receipts as `verify` needs them: per job of a manifest what counts, what failed, and who published which path."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from conductor import manifest as manifests
from conductor.adapters.receipt_log import read_receipts
from conductor.model.receipt import Receipt


class Record(Struct):
    """One job. `accepted`: the `ok` receipt that counts, the lowest attempt's; `attempts`: all whose `ok` stands."""

    accepted: Receipt | None = None
    failed: Receipt | None = None
    attempts: frozenset[int] = frozenset()
    oks: tuple[Receipt, ...] = ()
    taken_back: frozenset[int] = frozenset()

    def add(self, receipt: Receipt) -> None:
        if receipt.outcome == "ok":
            self.oks = (*self.oks, receipt)
        elif receipt.outcome == "superseded":
            self.taken_back |= {receipt.attempt}
        elif self.failed is None or receipt.attempt >= self.failed.attempt:
            self.failed = receipt
        standing = [ok for ok in self.oks if ok.attempt not in self.taken_back]
        self.attempts = frozenset(ok.attempt for ok in standing)
        self.accepted = min(standing, key=lambda ok: ok.attempt, default=None)


_NONE = Record()


class Records:
    """Memory grows with the manifest's own jobs, not with all that was ever done."""

    def __init__(self) -> None:
        self._jobs: dict[str, Record | None] = {}
        #: Path that does not carry its job's id → jobs that published it. Only these can clash.
        self._publishers: dict[str, set[str]] = {}
        #: Jobs with an `ok` receipt that the manifest does not name.
        self.others: set[str] = set()

    @classmethod
    def gather(cls, manifest: Path, receipts_dir: Path) -> Records:
        records = cls()
        for spec in manifests.read(manifest):
            records._jobs[spec.id] = None
            for output in spec.writes:
                if spec.id not in output.path:
                    records._publishers.setdefault(output.path, set())
        for receipt in read_receipts(receipts_dir):
            records._add(receipt)
        for job_id, record in records._jobs.items():
            if record is not None and record.accepted is not None:
                records._publish(job_id, record.accepted)
        return records

    def __len__(self) -> int:
        return len(self._jobs)

    def of(self, job_id: str) -> Record:
        return self._jobs.get(job_id) or _NONE

    def publishers(self, path: str) -> set[str]:
        return self._publishers.get(path, set())

    def _add(self, receipt: Receipt) -> None:
        if receipt.job_id not in self._jobs:
            if receipt.outcome == "ok":
                self.others.add(receipt.job_id)
                self._publish(receipt.job_id, receipt)
            return
        record = self._jobs[receipt.job_id] or Record()
        record.add(receipt)
        self._jobs[receipt.job_id] = record

    def _publish(self, job_id: str, receipt: Receipt) -> None:
        for fact in receipt.outputs:
            if fact.path in self._publishers:
                self._publishers[fact.path].add(job_id)
