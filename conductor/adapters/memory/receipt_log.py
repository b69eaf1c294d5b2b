"""Receipts kept in memory: for simulation and tests. Nothing is durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conductor.model.receipt import Receipt


class MemoryReceiptLog:
    """The same contract as `conductor.adapters.files.receipt_log.FileReceiptLog`, without a disk."""

    def __init__(self) -> None:
        self._receipts: list[Receipt] = []

    def append(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)

    def extend(self, receipts: Iterable[Receipt]) -> None:
        self._receipts.extend(receipts)

    def look(self) -> None:
        """Nothing can be taken from under it."""

    def read(self) -> Iterator[Receipt]:
        return iter(tuple(self._receipts))
