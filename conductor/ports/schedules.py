"""Where the schedules stand: what was fired, who has a fire in hand, which are paused."""

from __future__ import annotations

from typing import Protocol

from conductor.model.schedule import FireEnd, ScheduleState


class ScheduleBook(Protocol):
    """A fire is `NAME@INSTANT`. Who takes it has it for as long as his lease runs; it is over when its end is
    recorded, and not before: of one that was only taken, the next leader takes up the dispatch again."""

    def states(self) -> dict[str, ScheduleState]:
        """By name, of all that were ever known."""
        ...

    def know(self, name: str, handled_to: int, *, is_paused: bool | None = None) -> None:
        """There is such a schedule, and its instants up to this one are no matter any more. What the ledger
        knows to be later stays. `is_paused`: the operator's word; None: as it was."""
        ...

    def take(
        self, name: str, instant: int, owner: str, lease_s: float, epoch: int | None = None
    ) -> ScheduleState | None:
        """As it stands then; None where somebody else has a fire of it in hand, or where this one is over.

        `epoch`: the leader's, fenced (`Fenced`). None: the operator's hand, whose fires move nothing that is
        due."""
        ...

    def keep(self, name: str, instant: int, owner: str, lease_s: float) -> bool:
        """The lease is renewed; False: it is not his any more."""
        ...

    def end(self, name: str, owner: str, end: FireEnd) -> bool:
        """It is over, as that. False: it is not his any more."""
        ...

    def skip(self, epoch: int, name: str, handled_to: int, fires: int) -> bool:
        """So many up to that one are left out. False: others said so before. Raises `Fenced`."""
        ...

    def hold(self, epoch: int, name: str) -> bool:
        """What is due waits for the fire before. False: it did so already. Raises `Fenced`."""
        ...
