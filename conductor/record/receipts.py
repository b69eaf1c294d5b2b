"""The receipts as `verify` needs them: per job of a manifest what counts, what failed, and who published
which path.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from conductor.adapters.files.receipt_log import ReceiptFiles, first_of, receipts_of
from conductor.model.receipt import Receipt
from conductor.record import manifest as manifests

OnRead = Callable[[int], None]


class JobRecord(Struct):
    """One job. `accepted`: the `ok` receipt that counts, the lowest attempt's; `valid`: all whose `ok`
    stands, one for each body (ATTEMPT.TOKEN). `taken_back`: bodies. `shown`: asks for a person's verdict."""

    accepted: Receipt | None = None
    failed: Receipt | None = None
    valid: tuple[Receipt, ...] = ()
    oks: tuple[Receipt, ...] = ()
    taken_back: frozenset[str] = frozenset()
    asking: tuple[Receipt, ...] = ()

    @property
    def shown(self) -> Receipt | None:
        """The latest that asks for a verdict and has none; nothing where the job is done, or failed since."""
        after = 0 if self.failed is None else self.failed.attempt
        open_ones = [r for r in self.asking if r.body not in self.taken_back and r.attempt > after]
        return max(open_ones, key=first_of, default=None) if self.accepted is None else None

    @property
    def attempts(self) -> frozenset[int]:
        return frozenset(ok.attempt for ok in self.valid)

    def add(self, receipt: Receipt) -> None:
        if receipt.outcome == "ok":
            self.oks = (*self.oks, receipt)
        elif receipt.outcome == "review":
            self.asking = (*self.asking, receipt)
        elif receipt.outcome == "superseded":
            self.taken_back |= {receipt.body}
        elif receipt.outcome == "failed" and (self.failed is None or receipt.attempt >= self.failed.attempt):
            self.failed = receipt
        # A line that was written twice over (a disk that failed in between) is one receipt.
        bodies = {ok.body: ok for ok in reversed(self.oks) if ok.body not in self.taken_back}
        self.valid = tuple(sorted(bodies.values(), key=first_of))
        self.accepted = self.valid[0] if self.valid else None


def record_of(receipts_dir: Path, job_id: str) -> JobRecord:
    """Of one job, whose id the files are searched for."""
    record = JobRecord()
    for receipt in receipts_of(receipts_dir, job_id):
        record.add(receipt)
    return record


_NONE = JobRecord()
#: A job that no receipt was seen of, and one that several were.
_UNSEEN, _SEVERAL = -1, -2


class Records:
    """Memory grows with the manifest's own jobs (some 150 bytes each), not with all that was ever done, nor
    with what receipts hold: those are read again, each when its job is looked at."""

    def __init__(self, receipts_dir: Path, *, has_others: bool = False) -> None:
        """`has_others`: jobs that the manifest does not name are to be known by their ids."""
        self._files = ReceiptFiles(receipts_dir)
        self._has_others = has_others
        self._number: dict[str, int] = {}
        #: Job's number → the place of its only receipt.
        self._place = array("q")
        self._places: dict[int, list[int]] = {}
        #: Path that does not carry its job's id → jobs that published it. Only these can clash.
        self._publishers: dict[str, set[str]] = {}
        #: Jobs with an `ok` receipt that the manifest does not name.
        self.others: set[str] = set()

    @classmethod
    def gather(
        cls, manifest: Path, receipts_dir: Path, on_read: OnRead | None = None, *, has_others: bool = False
    ) -> Records:
        """`on_read`: lines of both so far."""
        records = cls(receipts_dir, has_others=has_others)
        count = 0
        for count, spec in enumerate(manifests.read(manifest), 1):
            records._number.setdefault(spec.id, len(records._number))
            for output in spec.writes:
                if spec.id not in output.path:
                    records._publishers.setdefault(output.path, set())
            if on_read and not count % 1000:
                on_read(count)
        records._place = array("q", [_UNSEEN]) * len(records._number)
        for more, (place, receipt) in enumerate(records._files.read(), count + 1):
            records._add(place, receipt)
            if on_read and not more % 1000:
                on_read(more)
        if records._publishers:
            for job_id in records._number:
                if (accepted := records.of(job_id).accepted) is not None:
                    records._publish(job_id, accepted)
        return records

    def close(self) -> None:
        self._files.close()

    def __len__(self) -> int:
        return len(self._number)

    def of(self, job_id: str) -> JobRecord:
        """Read from the files as they are."""
        number = self._number.get(job_id)
        if number is None or self._place[number] == _UNSEEN:
            return _NONE
        record = JobRecord()
        for place in self._places.get(number, (self._place[number],)):
            record.add(self._files.at(place))
        return record

    def publishers(self, path: str) -> set[str]:
        return self._publishers.get(path, set())

    def _add(self, place: int, receipt: Receipt) -> None:
        number = self._number.get(receipt.job_id)
        if number is None:
            if receipt.outcome == "ok":
                self._publish(receipt.job_id, receipt)
                if self._has_others:
                    self.others.add(receipt.job_id)
        elif self._place[number] == _UNSEEN:
            self._place[number] = place
        else:
            if self._place[number] != _SEVERAL:
                self._places[number], self._place[number] = [self._place[number]], _SEVERAL
            self._places[number].append(place)

    def _publish(self, job_id: str, receipt: Receipt) -> None:
        for fact in receipt.outputs:
            if fact.path in self._publishers:
                self._publishers[fact.path].add(job_id)
