"""Which jobs wait for a person's verdict, by the receipts alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from conductor.adapters.files.receipt_log import first_of
from conductor.model.receipt import Receipt
from conductor.model.review import ItemVerdict


class OpenReviews:
    """Fed with receipts in any order."""

    def __init__(self) -> None:
        self._asking: dict[tuple[str, str], Receipt] = {}
        self._said: dict[tuple[str, str], list[ItemVerdict]] = {}
        #: Bodies that are answered, or count no more.
        self._answered: set[tuple[str, str]] = set()
        #: Job → the latest attempt that ended otherwise.
        self._ended: dict[str, int] = {}
        self._done: set[str] = set()

    def add(self, receipt: Receipt) -> None:
        key = receipt.job_id, receipt.body
        if receipt.outcome == "review":
            self._asking.setdefault(key, receipt)
        elif receipt.outcome == "verdict":
            self._said.setdefault(key, []).extend(receipt.verdicts)
        elif receipt.takes_back:
            self._answered.add(key)
        elif receipt.outcome == "failed":
            self._ended[receipt.job_id] = max(receipt.attempt, self._ended.get(receipt.job_id, 0))
        else:
            self._answered.add(key)
            self._done.add(receipt.job_id)

    def found(self, over: Mapping[str, int] | None = None) -> dict[str, Receipt]:
        """Job → the receipt that asks, of its latest body, with what was said to its items so far. `over`:
        job → attempts up to that one were cancelled, or sent back, by the operator."""
        best: dict[str, Receipt] = {}
        for key, receipt in self._asking.items():
            job_id = receipt.job_id
            past = max(self._ended.get(job_id, 0), (over or {}).get(job_id, 0))
            if key in self._answered or job_id in self._done or receipt.attempt <= past:
                continue
            if job_id not in best or first_of(receipt) > first_of(best[job_id]):
                best[job_id] = receipt
        return {job_id: self._with_words(receipt) for job_id, receipt in best.items()}

    def _with_words(self, receipt: Receipt) -> Receipt:
        first: dict[int, ItemVerdict] = {}
        for verdict in sorted(self._said.get((receipt.job_id, receipt.body), ()), key=lambda v: v.at):
            first.setdefault(verdict.item, verdict)
        return replace(receipt, verdicts=tuple(first[item] for item in sorted(first)))


def open_reviews(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    found = OpenReviews()
    for receipt in receipts:
        found.add(receipt)
    return found.found()
