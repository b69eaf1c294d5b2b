"""The life of one attempt: with its worker, without one, and what it tells of the APIs that it calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.calls import Call, EndpointFault
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import (
    AdoptAnswer,
    FinishAnswer,
    HeldReport,
    Preloaded,
    Renewed,
    RollCall,
    Started,
    Turned,
    WorkerTurn,
)
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Reservation


class Attempts(Protocol):
    """Called by workers; fenced by the attempt's number."""

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        """admitted(attempt) → running, with a lease. Raises `Fenced` when it is not this attempt's turn."""
        ...

    def turn(self, turn: WorkerTurn) -> Turned:
        """`accept` of all that is done, the unbegun back to waiting at no cost, `start` of all that is in
        hand and of as much more of the queue as is wanted: one step. A worker takes no more than its share of
        its queue."""
        ...

    def next_preloaded(self, worker: str, timeout_s: float) -> Preloaded | RollCall | None:
        """The next successor that is preloaded behind what this worker runs (or is no longer), or a roll
        call. None where none came in time (a few seconds at most). What is missed costs nothing: such a
        successor goes on as if it had been named only."""
        ...

    def renew(self, worker: str, lease_s: float, held: Sequence[HeldReport], seen: int = 0) -> Renewed:
        """All that a worker holds, also where that is nothing. An answer each: «gone»: this attempt was
        rescued, stop. «cancel»: the operator wants it stopped, kill the body; it is not renewed for ever
        after that. «unknown»: the ledger forgot it (Redis was emptied, or stepped back): go on, and `adopt`
        it.

        What the ledger has as running by it and is not named is an orphan at once, unless it was started
        after `seen`: the step of the last turn whose answer it has heard."""
        ...

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        """An attempt that the ledger forgot still runs: waiting, admitted, or running as an older attempt →
        running, under its number and reservation.

        «unknown»: the ledger does not know the job (yet). «gone»: it knows better, stop."""
        ...

    def accept(self, receipt: Receipt) -> FinishAnswer:
        """An `ok` receipt, already durable, becomes the job's accepted one: → done, whatever attempt it is
        of, unless another was accepted first («already») or the ledger does not know the job («gone»).
        Releases the reservation, frees the jobs that waited for it."""
        ...

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        """running(attempt) → waiting or dead (which takes the jobs in whose `after` it stands along)."""
        ...


class Orphans(Protocol):
    """Attempts that nobody runs any more, and what a dead worker held. Called by the leader and by nodes."""

    def orphans(self, admitted_grace_s: float) -> tuple[Reservation, ...]:
        """Running with a lease that ran out, or admitted so long ago and no longer in its queue."""
        ...

    def leases(self) -> dict[str, float]:
        """Running jobs → until when their workers' last renewal holds."""
        ...

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        """The attempts a worker has taken from its queue, started or not: what its death orphans."""
        ...

    def rescue(
        self,
        job_id: str,
        attempt: int,
        message: str,
        then: Retry | Dead,
        cause: Cause = "worker_lost",
        *,
        if_lapsed: bool = False,
    ) -> bool:
        """An orphan (worker dead, lease run out) goes back. False when it was not in that attempt any more.

        `if_lapsed`: also False when its lease runs again; for one who only looked, and may have slept since.
        """
        ...

    def give_back(self, job_id: str, attempt: int) -> bool:
        """admitted(attempt) → waiting, at no cost: nobody started it. False when it is not so any more."""
        ...

    def remove_worker(self, worker: str, queue: str) -> None:
        """This worker is dead and all that it held went back: nobody waits for its word. In a ledger that is
        not settled it counts as one that has seen what was forgotten, unless it had spoken."""
        ...


class CallLog(Protocol):
    """What came of calls of APIs, and which keys are closed for it."""

    def tell_calls(self, calls: Sequence[Call]) -> None:
        """What came of the API calls of one attempt, all at once: a 429, or another trouble of its endpoint,
        closes its key, and what is handed over for one that is not well goes back; the rest is for the
        leader."""
        ...

    def calls(self) -> tuple[Call, ...]:
        """What was told and not yet forgotten, the oldest first."""
        ...

    def forget_calls(self, count: int) -> None:
        """The oldest so many have been taken into account."""
        ...

    def closings(self) -> dict[str, float]:
        """Rate key → closed until; what ran out is left out."""
        ...

    def endpoint_faults(self) -> dict[str, EndpointFault]:
        """Rate key → what is known against its endpoint; those that are well are left out."""
        ...

    def open_rate(self, key: str) -> bool:
        """The operator's word: its gate opens at once. False: it was open, and nothing known against it."""
        ...

    def refusals(self) -> dict[str, int]:
        """Rate key → 429s, of all time."""
        ...
