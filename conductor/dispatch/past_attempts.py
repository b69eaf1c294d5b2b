"""What receipts tell of a manifest's jobs: which are done, and which attempt numbers were given out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from msgspec import Struct

from conductor.model.receipt import Receipt

_TOKEN_BITS = 32


class PastAttempts(Struct, frozen=True, kw_only=True):
    """What the receipts tell of a manifest's jobs: id → accepted attempt, and id → highest attempt."""

    accepted: Mapping[str, int]
    attempts: Mapping[str, int]
    #: Of those that are done and share files: their receipts.
    receipts: Mapping[str, Receipt] = {}

    def without(self, ids: AbstractSet[str]) -> PastAttempts:
        """Their receipts were taken back."""
        if not ids:
            return self
        accepted = {job_id: attempt for job_id, attempt in self.accepted.items() if job_id not in ids}
        receipts = {job_id: receipt for job_id, receipt in self.receipts.items() if job_id not in ids}
        return PastAttempts(accepted=accepted, attempts=self.attempts, receipts=receipts)


def past_of(receipts_dir: Path, wanted: AbstractSet[str], whole: AbstractSet[str]) -> PastAttempts:
    """What is known of these jobs from receipts; nothing where there is no such folder.

    Only of the `whole` ones are the receipts themselves kept: a million of them would be a gigabyte."""
    from conductor.adapters.files.receipt_log import accepted, read_receipts

    past = _ValidReceipts()

    def theirs() -> Iterator[Receipt]:
        for receipt in read_receipts(receipts_dir):
            if receipt.job_id in wanted:
                past.add(receipt)
                if receipt.job_id in whole:
                    yield receipt

    receipts = accepted(theirs())
    return PastAttempts(accepted=past.accepted(), attempts=past.attempts, receipts=receipts)


class _ValidReceipts:
    """Of each job the lowest attempt whose `ok` was not taken back, in two numbers a job: a body is one
    (`_number`).
    """

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self._lowest: dict[str, int] = {}
        #: Of jobs with several, or of whose some were taken back.
        self._oks: dict[str, set[int]] = {}
        self._taken_back: set[tuple[str, int]] = set()

    def add(self, receipt: Receipt) -> None:
        job_id, body = receipt.job_id, _number(receipt)
        self.attempts[job_id] = max(receipt.attempt, self.attempts.get(job_id, 0))
        if receipt.takes_back:
            self._taken_back.add((job_id, body))
        elif receipt.outcome == "ok":
            first = self._lowest.setdefault(job_id, body)
            if first != body:
                self._oks.setdefault(job_id, {first}).add(body)

    def accepted(self) -> dict[str, int]:
        found = self._lowest
        for job_id in self._oks.keys() | {job_id for job_id, _ in self._taken_back}:
            oks = self._oks.get(job_id, {found[job_id]} if job_id in found else set[int]())
            valid = [body for body in oks if (job_id, body) not in self._taken_back]
            found.pop(job_id, None)
            if valid:
                found[job_id] = min(valid)
        return {job_id: body >> _TOKEN_BITS for job_id, body in found.items()}


def _number(receipt: Receipt) -> int:
    """A body as one number, by attempt: a text for each of a million jobs would be twice as much."""
    return receipt.attempt << _TOKEN_BITS | int(receipt.token or "0", 16)
