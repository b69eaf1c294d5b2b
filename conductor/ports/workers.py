"""Workers themselves, beside what they run: who is there, and who answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.worker import SeenWorker


class RollCalls(Protocol):
    def seen(self) -> tuple[SeenWorker, ...]:
        """All that are there by their own word, by name."""
        ...

    def call_roll(self, names: Sequence[str]) -> None:
        """Each of them is to say at once what it holds (`Attempts.renew`), and so to be heard. Who does not
        listen any more finds the word for a minute."""
        ...
