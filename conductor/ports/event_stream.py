"""The one stream of events: bounded, and for those who look. The record and the ledger are the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.told_event import ToldEvent


class EventStream(Protocol):
    """Everybody appends: conductor, nodes, workers, commands. The oldest go when there are too many."""

    def append(self, events: Sequence[ToldEvent]) -> None:
        """In one go, each with the next id. Raises `Unreachable`; what was not appended is lost."""
        ...

    def read(self, after: str, limit: int = 1000, wait_s: float = 0.0) -> tuple[ToldEvent, ...]:
        """What came after that id, the oldest first; empty: from the oldest that is kept. Waits for at most
        `wait_s` (5 s at most) where there is nothing."""
        ...

    def latest(self, limit: int) -> tuple[ToldEvent, ...]:
        """The last so many, the oldest of them first."""
        ...

    def bounds(self) -> tuple[str, str]:
        """Ids of the oldest and of the last that are kept; both «0-0» where there is none. Who comes with an
        id before the first has missed something."""
        ...
