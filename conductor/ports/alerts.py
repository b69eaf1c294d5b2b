"""What is wrong and who was told: remembered for all nodes, said by one of them at a time."""

from __future__ import annotations

from typing import Protocol

from conductor.model.alerts import AlertBook


class Alerts(Protocol):
    """Each node may judge; who has the lease does, and speaks."""

    def speak(self, owner: str, ttl_s: float) -> bool:
        """Take or renew the lease to judge and to speak. False while somebody else has it."""
        ...

    def hush(self, owner: str) -> None:
        """Give it back, if it is still one's own."""
        ...

    def book(self) -> AlertBook:
        """As it was recorded last; an empty one before the first, or where nobody can read it any more."""
        ...

    def record(self, owner: str, book: AlertBook) -> bool:
        """Replace the book. False, and nothing is written, where somebody else speaks by now."""
        ...

    def silence(self, rule: str, for_s: float) -> float:
        """Nobody is told of this rule for so long; 0: from now on again. Until when."""
        ...

    def silenced(self) -> dict[str, float]:
        """Rule → until when; what ran out is left out."""
        ...
