"""The edge as the rest of the program sees it: one narrow Protocol per outside thing.

Every method that changes a job's state is one atomic step, fenced by the leader's `epoch` or by the attempt's
number. Adapters translate their errors: a lost connection is `errors.Unreachable`, a refused fence `errors.Fenced`.
Times are epoch seconds by the ledger's own clock (Redis TIME), never by the host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from conductor.model.calls import Call
from conductor.model.causes import Cause
from conductor.model.decision import Admission, GateLedger, Heir
from conductor.model.entries import (
    NO_WAITS,
    AdoptAnswer,
    Entry,
    FinishAnswer,
    JobState,
    JobView,
    Lined,
    PutResult,
    RenewAnswer,
    Started,
    Turn,
    Turned,
    Waits,
)
from conductor.model.files import LetGo, Outlook
from conductor.model.forecast import Forecast
from conductor.model.outcome import Dead, Retry
from conductor.model.receipt import Receipt, Usage
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, Controls, Head, KindState, Look, RateState, Reservation
from conductor.model.spec import Lane

# ── backlog ──────────────────────────────────────────────────────────────────────────────────────────────


class Backlog(Protocol):
    def put(self, backlog: str, entries: Sequence[Entry]) -> PutResult:
        """Accept jobs, all of this call or none; an id already known is left as it is."""
        ...

    def candidates(self, look: Look) -> tuple[Candidate, ...]:
        """Every class with jobs that may go now, with as many as said of its first, oldest first.

        Jobs that wait for others or for a back-off are in no class; due back-offs are moved in by this call,
        a thousand at a time; the bell rings for the rest.
        """
        ...

    def outlook(self, heads: Sequence[str]) -> Outlook:
        """Chains that were begun and those of these jobs, what landed on disks lately, the longest wait so far."""
        ...

    def keep(self, readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Path → jobs about to be put that will read it: from now on it is needed. What is being removed at this
        moment, and by which node: that cannot be had back, its writer has to run again."""
        ...

    def heads(self, ids: Sequence[str]) -> tuple[tuple[str, Head], ...]:
        """(class id, head) of those of these jobs that may go now."""
        ...

    def counts(self, backlog: str | None = None) -> dict[JobState, int]: ...

    def backlogs(self) -> tuple[str, ...]: ...

    def generation(self, proposed: str | None = None) -> str | None:
        """The ledger's own mark; None while it has none. The first to propose one gives it; it goes with a FLUSHALL."""
        ...

    def settle(self, for_s: float) -> None:
        """The ledger is being rebuilt: for so long nothing should be admitted, workers claim what they still run."""
        ...

    def pulse(self) -> tuple[str | None, float]:
        """The mark, and how long it still settles (0: it does not), in one look."""
        ...

    def job(self, job_id: str) -> JobView | None: ...

    def find(self, prefix: str, limit: int = 10) -> tuple[str, ...]:
        """Ids that begin with `prefix`."""
        ...

    def ids(self, state: JobState, backlog: str | None = None) -> Iterator[str]:
        """Of the dead, the cancelled and those in review at the cost of their number; of others, of all jobs'."""
        ...

    def known(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of them that were accepted before, in whatever state."""
        ...

    def causes(self, backlog: str | None = None, most: int = 1000) -> dict[str, int]:
        """Cause → dead jobs, the most frequent first; of so many of the dead."""
        ...


# ── hand-over and what becomes of it ──────────────────────────────────────────────────────────────────────


class Attempts(Protocol):
    """The life of one attempt. Called by workers; fenced by the attempt's number."""

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        """admitted(attempt) → running, with a lease. Raises `Fenced` when it is not this attempt's turn."""
        ...

    def turn(self, turn: Turn) -> Turned:
        """`accept` of all that is done, the unbegun back to waiting at no cost, `start` of all that is in hand and of
        as much more of the queue as is wanted: one step. A worker takes no more than its share of its queue."""
        ...

    def lined(self, worker: str, timeout_s: float) -> Lined | None:
        """The next word on who is lined up behind what this worker runs; None where none came in time (a few seconds at
        most). What is missed costs nothing: such an heir goes on as if it had been named only."""
        ...

    def renew(
        self,
        job_id: str,
        attempt: int,
        worker: str,
        lease_s: float,
        usage: Usage | None = None,
        progress: float | None = None,
        note: str = "",
        quiet_s: float = 0.0,
    ) -> RenewAnswer:
        """«gone»: this attempt was rescued, stop. «cancel»: the operator wants it stopped, kill the body; it is not
        renewed for ever after that.

        «unknown»: the ledger never heard of it. Redis was emptied: go on, and `adopt` it."""
        ...

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        """An attempt from before Redis was emptied still runs: waiting → running, under its number and reservation.

        «unknown»: the ledger does not know the job (yet). «gone»: it knows better, stop."""
        ...

    def accept(self, receipt: Receipt) -> FinishAnswer:
        """An `ok` receipt, already durable, becomes the job's accepted one: → done, whatever attempt it is of,
        unless another was accepted first («already») or the ledger does not know the job («gone»).
        Releases the reservation, frees the jobs that waited for it."""
        ...

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        """running(attempt) → waiting or dead (which takes the jobs in whose `after` it stands along)."""
        ...

    def close_rate(self, key: str, for_s: float) -> None:
        """A 429: the gate of `key` is closed for so long."""
        ...

    def closings(self) -> dict[str, float]:
        """Rate key → closed until; what ran out is left out."""
        ...

    def tell_calls(self, calls: Sequence[Call]) -> None:
        """What came of the API calls of one attempt, all at once: a 429 closes its key, the rest is for the leader."""
        ...

    def calls(self) -> tuple[Call, ...]:
        """What was told and not yet forgotten, the oldest first."""
        ...

    def forget_calls(self, count: int) -> None:
        """The oldest so many have been taken into account."""
        ...

    def refusals(self) -> dict[str, int]:
        """Rate key → 429s, of all time."""
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

    def removable(self, node: str, roots: Sequence[str]) -> dict[str, int]:
        """Root → bytes of the files there that nobody needs any more. They lie there until their room is wanted."""
        ...

    def let_go(self, node: str, root: str = "", wanted: int = 0, most: int = 500) -> tuple[LetGo, ...]:
        """Of the files that nobody needs, the first ones on that root are gone from now on, until they are so many
        bytes: the node removes them and says so (`gone`). With those that it was told before and has not said gone."""
        ...

    def gone(self, node: str, paths: Sequence[str]) -> None:
        """They are removed, or will not be."""
        ...

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        """The attempts a worker has taken from its queue, started or not: what its death orphans."""
        ...


class Handover(Protocol):
    """The conductor's only writes. Every call is fenced by the leader's epoch and raises `Fenced` when it is old."""

    def admit(
        self,
        epoch: int,
        admissions: Sequence[Admission],
        heirs: Sequence[Heir] = (),
        seen: int | None = None,
        looked_at: float | None = None,
    ) -> tuple[str | None, ...]:
        """waiting → admitted + reservation + the engine's own job and queue entry, in one atomic step each.

        Per admission: None when handed over, else why not («not waiting», «over ceiling NODE/gpu0:vram_mib»).
        `heirs`: in place of all that were named before. `seen`: heirs handed over as of before the tick looked
        (`handed_on`); where another one was since, nothing of this holds. None: not asked. `looked_at`: when that was
        (Redis time); files that came since count beside what is claimed for those lined up. None: none did."""
        ...

    def handed_on(self) -> tuple[int, int]:
        """How many heirs were handed over so far, and how many are named or lined up now."""
        ...

    def handed_ahead(self) -> int:
        """Of those handed over so far: how many had been lined up in time, so that their bodies had begun already."""
        ...

    def reservations(self) -> tuple[Reservation, ...]: ...

    def queued(self) -> dict[str, int]:
        """Queue → entries not yet taken by a worker."""
        ...

    def ask_ahead(self, look: Look, admitted_grace_s: float, lead: tuple[str, float] | None = None) -> None:
        """A tick begins: what it will ask is asked in one go, at one instant; `lead` (owner, ttl_s) renewed first."""
        ...

    def ask_when_rung(self, timeout_s: float, look: Look, admitted_grace_s: float, lead: tuple[str, float]) -> bool:
        """Waits as `Bell.wait` does, and has the next tick's `ask_ahead` answered with the same words that wake it."""
        ...

    def paces(self) -> dict[str, float]:
        """Task → seconds that one takes, as workers saw it of late; only of those that are over in milliseconds."""
        ...

    def leases(self) -> dict[str, float]:
        """Running jobs → until when their workers' last renewal holds."""
        ...

    def orphans(self, admitted_grace_s: float) -> tuple[Reservation, ...]:
        """Running with a lease that ran out, or admitted so long ago and no longer in its queue."""
        ...

    def record_gates(self, epoch: int, gates: GateLedger) -> None:
        """Replace the gate ledger: what `explain`, `status`, the metrics and the pages read."""
        ...

    def gates(self) -> GateLedger:
        """As of the last tick that recorded it; an empty one before the first."""
        ...


class Leadership(Protocol):
    def lead(self, owner: str, ttl_s: float) -> int | None:
        """Take or renew the lead. The epoch, or None while somebody else leads."""
        ...

    def resign(self, owner: str) -> None: ...

    def leader(self) -> tuple[str, int] | None: ...

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
    def publish(self, report: NodeReport, ttl_s: float) -> None: ...

    def live(self) -> tuple[NodeReport, ...]:
        """Reports that have not run out."""
        ...

    def withdraw(self, node: str) -> None: ...


class Rates(Protocol):
    """The budgets of the APIs. Only the leader takes from them, at the hand-over; only a worker's 429 closes one."""

    def states(self, now: float, active: Sequence[Reservation] | None = None) -> tuple[RateState, ...]:
        """Every budget, after what workers told. `active`: all reservations, read before; None: not known."""
        ...

    def take(self, job_id: str, attempt: int, key: str, requests: int, tokens: int) -> None:
        """Set aside what an attempt may use; it is given back, or trued up, when its call is told or it is gone."""
        ...


class Control(Protocol):
    """The operator's word."""

    def controls(self) -> Controls: ...

    def set_paused(self, lane: Lane, is_paused: bool) -> None: ...

    def set_device_paused(self, place: str, is_paused: bool) -> None:
        """`place`: «NODE/gpu0». Resuming is also the word that a quarantined device is to be used all the same."""
        ...

    def resumed(self) -> dict[str, int]:
        """Place → how often the operator has resumed it, of all time."""
        ...

    def set_draining(self, is_draining: bool, node: str | None = None) -> None: ...

    def cancel(self, job_id: str) -> JobState | None:
        """waiting or admitted → cancelled; running is told at its next renewal. The state it had, None if unknown."""
        ...

    def fail(self, job_id: str, cause: Cause, message: str) -> JobState | None:
        """waiting or admitted → dead; running is told at its next renewal, and dead when its attempt has ended."""
        ...

    def requeue(self, job_id: str) -> JobState | None:
        """admitted → waiting at no cost; running is told, and waiting when its attempt has ended; no back-off."""
        ...

    def asked(self) -> dict[str, str]:
        """Running jobs that are being stopped → cancel, fail or requeue."""
        ...

    def redo(
        self,
        job_id: str,
        attempt: int,
        after: Sequence[str] = (),
        after_ended: Sequence[str] = (),
        own: Waits = NO_WAITS,
        *,
        is_forced: bool = False,
    ) -> bool:
        """done by `attempt`, whose receipt was taken back → waiting. `after`: jobs that come after it; those of them
        that are not done wait for it again. `own`: what it comes after itself, as far as it is to be made again too.
        False when it is not done by that attempt; also (unless `is_forced`) while a file of it is being removed."""
        ...

    def retry(self, job_id: str) -> bool:
        """dead, cancelled or in review → waiting, with its failures forgotten; who went there with it comes along."""
        ...


class Kinds(Protocol):
    """Canaries and breakers. What is counted of a kind is counted in the steps that end its attempts."""

    def states(self) -> tuple[tuple[KindState, ...], dict[str, int]]:
        """Of every kind that has canaries or failed lately; and backlog → jobs in review."""
        ...

    def review(self, epoch: int, kind: str, most: int) -> int:
        """waiting → review: at most so many jobs of a kind, and with each those that come after it. How many it was.

        Raises `Fenced`."""
        ...

    def in_review(self, backlog: str | None = None) -> dict[str, int]:
        """Kind → jobs in review, those that only come after others among them. Costs by their number."""
        ...

    def resume(self, kind: str) -> int:
        """The operator's word: closed kinds (of that name, or of the task of that name) are tried at once. How many."""
        ...


class Ledger(Struct, frozen=True, kw_only=True):
    """Everything that lives in Redis, or in its in-memory twin: built once per process and passed down."""

    backlog: Backlog
    attempts: Attempts
    handover: Handover
    leadership: Leadership
    bell: Bell
    reports: Reports
    control: Control
    kinds: Kinds


# ── the world outside Redis ───────────────────────────────────────────────────────────────────────────────


class ReceiptLog(Protocol):
    """Append-only, durable before `append` returns; one file per writer, merged by the reader."""

    def append(self, receipt: Receipt) -> None: ...

    def extend(self, receipts: Iterable[Receipt]) -> None:
        """Several, made durable together."""
        ...

    def read(self) -> Iterable[Receipt]: ...


class Clock(Protocol):
    def now(self) -> float: ...

    def monotonic(self) -> float: ...
