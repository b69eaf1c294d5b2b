"""Workers themselves, beside what they run: who is there, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from conductor.model.snapshot import Reservation
from conductor.model.worker import SeenWorker


class RollCalls(Protocol):
    def seen(self) -> tuple[SeenWorker, ...]:
        """All that are there by their own word, by name."""
        ...

    def listed(self) -> tuple[SeenWorker, ...]:
        """Those, and all that left or fell silent and were not struck off yet (`Orphans.remove_worker`), by
        name: a ledger that is settled may wait for their word."""
        ...

    def call_roll(self, names: Sequence[str]) -> None:
        """Each of them is to say at once what it holds (`Attempts.renew`), and so to be heard. Who does not
        listen any more finds the word for a minute."""
        ...

    def expect(self, running: Sequence[Reservation], wait_s: float) -> None:
        """These ran when the leader looked last. Where the ledger has forgotten that, and while it is not
        settled, their workers are waited for like those that it knows (at most `wait_s`), and called."""
        ...


class Doorbell(Protocol):
    """Wakes a node of whose workers some are not started: something was handed over to one of its queues."""

    def listening(self, node: str) -> AbstractContextManager[Callable[[float], bool]]:
        """Inside the block the callable waits for so long (seconds): True when it rang since the block began,
        or since it was asked last. What was handed over before lies in the queue. It, and the block's
        beginning, raise `Unreachable`."""
        ...
