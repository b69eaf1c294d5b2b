"""What the parts of one worker work with, together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conductor.model.spec import TaskDecl
    from conductor.ports import Ledger, ReceiptLog
    from workers.attempt.attempt import AttemptSettings
    from workers.attempt.lease_keeper import Keeper
    from workers.attempt.successor_feed import SuccessorFeed
    from workers.isolation.child_process import ChildProcess
    from workers.isolation.held_attempt import Held
    from workers.isolation.stop_signals import Stopping
    from workers.isolation.vram_claim import Claim


class BodyRow(Protocol):
    """The bodies that the child was given, as whoever looks after them sees them; read from another
    thread.
    """

    @property
    def turns(self) -> int:
        """How many have had their turn."""
        ...

    @property
    def longest_s(self) -> float:
        """The longest that one of those given may take."""
        ...

    #: The child that was ended because of a deadline that nobody had looked at.
    struck: int
    #: The child that was ended because somebody had stopped it, and for how long (s) it stood.
    stood_still: tuple[int, float]


class InChild(Protocol):
    """An attempt that the child was given."""

    @property
    def held(self) -> Held: ...


class InHand(Protocol):
    """What the worker answers for; read from another thread."""

    @property
    def given(self) -> Sequence[InChild]:
        """In order: the first is the one that runs, as far as was heard."""
        ...

    def reported(self) -> Sequence[tuple[str, int]]: ...


class Watcher(Protocol):
    """Enforces from a thread of its own what the main thread would have to, whatever that one is stuck in."""

    def over(self, course: BodyRow, hand: InHand) -> None:
        """From now on it watches over these."""
        ...


class Parts(NamedTuple):
    """Built once per process."""

    settings: AttemptSettings
    ledger: Ledger
    catalogue: Mapping[str, TaskDecl]
    receipts: ReceiptLog
    host: ChildProcess
    keeper: Keeper
    stopping: Stopping
    #: Names in receipts and leases.
    worker: str
    node: str
    claim: Claim
    watchdog: Watcher
    #: None: nobody is preloaded here.
    lining: SuccessorFeed | None = None
