"""The world outside Redis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from conductor.model.receipt import Receipt


class ReceiptLog(Protocol):
    """Append-only, durable before `append` returns; one file per writer, merged by the reader."""

    def append(self, receipt: Receipt) -> None: ...

    def extend(self, receipts: Iterable[Receipt]) -> None:
        """Several, made durable together."""
        ...

    def look(self) -> None:
        """Is all that was appended still there? What is not, is written again."""
        ...

    def read(self) -> Iterable[Receipt]: ...


class Clock(Protocol):
    def now(self) -> float: ...

    def monotonic(self) -> float: ...
