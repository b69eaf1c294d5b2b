"""What the leader's tick hands over and writes down, how it is woken, and who leads which ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.decision import Admission, GateLedger, StandingOffer, Successor
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import Pulse, Settled
from conductor.model.report import NodeReport
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import Lookahead, RateState, Reservation


class Handover(Protocol):
    """Jobs into the hands of workers. Its writes are fenced by the leader's epoch and raise `Fenced` when
    it is old.
    """

    def admit(
        self,
        epoch: int,
        admissions: Sequence[Admission],
        successors: Sequence[Successor] = (),
        seen: int | None = None,
        looked_at: float | None = None,
    ) -> tuple[str | None, ...]:
        """waiting → admitted + reservation + the engine's own job and queue entry, in one atomic step each.

        Per admission: None when handed over, else why not («not waiting», «over ceiling NODE/gpu0:vram_mib»).
        `successors`: in place of all that were named before. `seen`: successors handed over as of before the
        tick looked (`successions`); where another one was since, nothing of this holds. None: not asked.
        `looked_at`: when that was (Redis time); files that came since count beside what is claimed for those
        preloaded. None: none did."""
        ...

    def offer(self, epoch: int, offers: Sequence[StandingOffer], seen: int) -> None:
        """In place of all that were left before: the next job of each of these classes that is put alone is
        admitted in that very step. All of them are gone with the first that is taken, with the next ring of
        the bell and with the next `admit`; where any of these came since the tick looked (`seen` of
        `successions`), nothing is left."""
        ...

    def successions(self) -> tuple[int, int]:
        """How many successors were handed over and offers taken so far, and how many successors are named or
        preloaded now."""
        ...

    def early_successions(self) -> int:
        """Of those handed over so far: how many had been preloaded in time, so that their bodies had begun
        already.
        """
        ...

    def reservations(self) -> tuple[Reservation, ...]: ...

    def queued(self) -> dict[str, int]:
        """Queue → entries not yet taken by a worker."""
        ...

    def task_durations(self) -> dict[str, float]:
        """Task → seconds that one takes, as workers saw it of late; only of those that are over in
        milliseconds.
        """
        ...


class GateRecord(Protocol):
    """The gate ledger as it was recorded last."""

    def record_gates(self, epoch: int, gates: GateLedger) -> None:
        """Replace the gate ledger: what `explain`, `status`, the metrics and the pages read."""
        ...

    def gates(self) -> GateLedger:
        """As of the last tick that recorded it; an empty one before the first."""
        ...


class Prefetch(Protocol):
    """What a tick will ask, asked in one go."""

    def ask_ahead(
        self, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float] | None = None
    ) -> None:
        """A tick begins: what it will ask is asked in one go, at one instant; `lead` (owner, ttl_s)
        renewed first.
        """
        ...

    def ask_when_rung(
        self, timeout_s: float, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float]
    ) -> bool:
        """Waits as `Bell.wait` does, and has the next tick's `ask_ahead` answered with the same words that
        wake it.
        """
        ...


class Leadership(Protocol):
    """Who leads."""

    def lead(self, owner: str, ttl_s: float) -> int | None:
        """Take or renew the lead. The epoch, or None while somebody else leads.

        Another one than before, though nobody else has led: the server was started again, or is another one,
        and may have forgotten what it was told last. Until `settle` nothing is handed out."""
        ...

    @property
    def is_settled(self) -> bool:
        """As of the last `lead`."""
        ...

    def settle(self, epoch: int, wait_s: float, highest: int) -> Settled | None:
        """All is taken in that receipts prove, and workers have said what they hold: from now on the ledger
        hands out again. None while some are silent, for `wait_s` at most. `highest`: number of an attempt, by
        the receipts."""
        ...

    def resign(self, owner: str) -> None: ...

    def leader(self) -> tuple[str, int] | None: ...

    def heard_at(self) -> float | None:
        """When a leader took or renewed the lead last; None: never."""
        ...

    def resigned_at(self) -> float | None:
        """When a leader gave the lead back last; None: never. One that is killed does not."""
        ...


class LedgerIdentity(Protocol):
    """Which ledger this is, and whether it knows all that it was told."""

    def generation(self, proposed: str | None = None) -> str | None:
        """The ledger's own mark; None while it has none. The first to propose one gives it; it goes with a
        FLUSHALL.
        """
        ...

    def settle(self, for_s: float) -> None:
        """The ledger is being rebuilt: for so long nothing should be admitted, workers claim what they
        still run.
        """
        ...

    def pulse(self) -> Pulse:
        """The mark, how long it is still being rebuilt, and whether it may have forgotten something, in
        one look.
        """
        ...

    def history(self) -> str:
        """Which history the server serves: another one after any start, promotion or full resync. What was
        said to two of them may be forgotten in part."""
        ...

    def server(self) -> str:
        """What to call the server that answers now."""
        ...

    def served_by(self) -> ServedBy | None:
        """By which one the ledger was whole last, as it was noted; None: nobody noted it yet."""
        ...

    def note_server(self, served: ServedBy) -> None: ...


class Forecasts(Protocol):
    """What leaders expect of runs."""

    def expect(self, forecast: Forecast) -> None:
        """What the leader expects of a run: in place of the forecast of the same backlog."""
        ...

    def forecasts(self) -> tuple[Forecast, ...]: ...


class Bell(Protocol):
    """Wakes the conductor: a finished job, a new entry, a fresh report ring it."""

    def ring(self) -> None: ...

    def wait(self, timeout_s: float) -> bool: ...

    def now(self) -> float: ...


class Reports(Protocol):
    """What nodes say of themselves."""

    def publish(self, report: NodeReport, ttl_s: float) -> None: ...

    def live(self) -> tuple[NodeReport, ...]:
        """Reports that have not run out."""
        ...

    def withdraw(self, node: str) -> None: ...

    def left(self) -> dict[str, float]:
        """Node → when it withdrew its report last. One that is killed does not."""
        ...


class Rates(Protocol):
    """The budgets of the APIs. Only the leader takes from them, at the hand-over; only a worker's 429
    closes one.
    """

    def states(self, now: float, active: Sequence[Reservation] | None = None) -> tuple[RateState, ...]:
        """Every budget, after what workers told. `active`: all reservations, read before; None: not known."""
        ...

    def take(self, job_id: str, attempt: int, key: str, requests: int, tokens: int) -> None:
        """Set aside what an attempt may use; it is given back, or trued up, when its call is told or it is
        gone.
        """
        ...
