"""What the twin remembers, one lock around it, and the steps that several verbs share (the twin of
`adapters/redis/lua/steps.lua`).
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from msgspec import structs

from conductor.adapters.memory import priority_inheritance
from conductor.adapters.memory.chains import Chains
from conductor.adapters.memory.class_queue import ClassQueue
from conductor.adapters.memory.server_history import History
from conductor.core.capacity.charges import charges, disk_key
from conductor.core.failures.failure_counts import KindRecord
from conductor.model.calls import Call, EndpointFault
from conductor.model.causes import Cause
from conductor.model.decision import Admission, GateLedger, Successor
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import JobState, Preloaded, RollCall, untold
from conductor.model.report import NodeReport
from conductor.model.schedule import ScheduleState
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import Lane
from conductor.ports import Clock

Verb = Literal["cancel", "fail", "requeue"]
OVER: tuple[JobState, ...] = ("dead", "cancelled")

#: Back-offs moved in by one look; the bell rings for the rest.
DUE = 1000


class OperatorRequest(NamedTuple):
    """The operator's last word on a running job."""

    verb: Verb
    cause: Cause | None = None
    message: str = ""


@dataclass(slots=True)
class PreloadedSuccessor:
    """Who is preloaded behind a running job: `conductor:preloaded`."""

    of_attempt: int
    job_id: str
    attempt: int
    worker: str
    admission: Admission
    #: Charge key → bytes: in the sums and in the charges of the running one, until that ends or this will not
    #: begin.
    claim: dict[str, int] = field(default_factory=dict[str, int])
    is_void: bool = False


@dataclass(slots=True)
class StoredJob:
    """One job: `conductor:state`, `jobs`, `waits_for`, `reservations` and `failures` of the ledger."""

    id: str
    line: bytes
    job_class: JobClass
    seq: int
    since: float
    state: JobState = "waiting"
    attempts: int = 0
    accepted: int = 0
    token: str = ""
    #: Of the step in which its worker started it.
    step: int = 0
    waits_for: set[str] = field(default_factory=set[str])
    waits_for_end: set[str] = field(default_factory=set[str])
    not_before: float | None = None
    reservation: Reservation | None = None
    charges: dict[str, int] = field(default_factory=dict[str, int])
    lease_until: float = 0.0
    off_queue_at: float | None = None
    asked: OperatorRequest | None = None
    is_told: bool = False
    redone: int = 0
    is_revised: bool = False
    #: Its own priority, where it goes as of a higher one that is handed down to it.
    own_priority: int | None = None
    cause: Cause | None = None
    message: str = ""
    failures: Counter[Cause] = field(default_factory=Counter[Cause])


class Store:
    """All state. Every verb of a port takes `lock` once and leaves things whole."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.bell = threading.Condition(self.lock)
        self.has_rung = False
        self.jobs: dict[str, StoredJob] = {}
        self.counts: dict[str, Counter[JobState]] = {}
        self.classes: dict[str, JobClass] = {}
        self.ready: defaultdict[str, ClassQueue] = defaultdict(ClassQueue)
        self.delayed: list[tuple[float, str]] = []
        self.waited_on_by: defaultdict[str, set[str]] = defaultdict(set)
        self.active: dict[str, StoredJob] = {}
        self.sums: Counter[str] = Counter()
        self.queues: defaultdict[str, list[str]] = defaultdict(list)
        self.prefetched: defaultdict[str, list[str]] = defaultdict(list)
        #: Worker → number of its last turn that took something from its queue, and what that was.
        self.taken: dict[str, tuple[str, list[tuple[str, int]]]] = {}
        self.task_durations: dict[str, float] = {}
        #: Running job → who goes next where it ends well, named in which epoch, until when, and when that
        #: tick looked.
        self.successors: dict[str, tuple[Successor, int, float, float | None]] = {}
        self.successions = 0
        #: Of those: whose bodies had begun.
        self.early_successions = 0
        self.preloaded: dict[str, PreloadedSuccessor] = {}
        #: Worker → what it is to hear of that, and has not read.
        self.successor_feeds: defaultdict[str, list[Preloaded | RollCall]] = defaultdict(list)
        self.leader: tuple[str, int, float] | None = None
        self.resigned_at: float | None = None
        self.epoch = 0
        self.gates = GateLedger()
        self.reports: dict[str, tuple[NodeReport, float]] = {}
        #: Node → when it took its report away.
        self.left: dict[str, float] = {}
        self.forecasts: dict[str, Forecast] = {}
        self.schedules: dict[str, ScheduleState] = {}
        self.closed: dict[str, float] = {}
        self.endpoint_faults: dict[str, EndpointFault] = {}
        self.refusals: dict[str, int] = {}
        self.kinds: dict[str, KindRecord] = {}
        #: What workers told of their API calls.
        self.calls: list[Call] = []
        self.paused: set[Lane] = set()
        self.draining: set[str] = set()
        self.paused_devices: set[str] = set()
        #: Place → the last word that it is to be used.
        self.resumed: Counter[str] = Counter()
        self.is_draining = False
        self.generation: str | None = None
        self.settles_at = 0.0
        #: Content → number of its last dispatch that is in whole.
        self.complete: dict[str, int] = {}
        self.history = History()
        self.longest_s = 0.0
        self.chains = Chains(self.state_of, self.now)

    def now(self) -> float:
        return self.clock.now()

    def state_of(self, job_id: str) -> JobState | None:
        job = self.jobs.get(job_id)
        return None if job is None else job.state

    def ring(self) -> None:
        self.has_rung = True
        self.bell.notify_all()

    @property
    def is_settled(self) -> bool:
        """An empty ledger has nothing to forget."""
        return self.history.is_settled or not self.jobs

    def count_succession(self) -> None:
        """What is named was named for a world without the one that goes now."""
        self.successions += 1
        self.successors = {}

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────

    def move(self, job: StoredJob, state: JobState) -> None:
        """The one place where a job changes its state: the counts follow in the same breath."""
        counts = self.counts[job.job_class.backlog]
        counts[job.state] -= 1
        counts[state] += 1
        before, job.state = job.state, state
        self.chains.moved(job.id, before, state)

    def rest(self, job: StoredJob, not_before: float | None = None) -> None:
        """A waiting job goes where it belongs: nowhere while it waits for others, else to `delayed` or its
        class.
        """
        if job.waits_for or job.waits_for_end:
            return
        if not_before is not None and not_before > self.now():
            job.not_before = not_before
            heapq.heappush(self.delayed, (not_before, job.id))
            return
        self.ready[job.job_class.id].add(job.seq, job.id)

    def unrest(self, job: StoredJob) -> None:
        job.not_before = None
        self.ready[job.job_class.id].ids.discard(job.id)

    def promote_due(self) -> None:
        moved = 0
        while self.delayed and self.delayed[0][0] <= self.now():
            not_before, job_id = heapq.heappop(self.delayed)
            job = self.jobs[job_id]
            if job.not_before == not_before:
                job.not_before = None
                self.rest(job)
                moved += 1
                if moved == DUE:
                    self.ring()
                    return

    def reserve(self, job: StoredJob, r: Reservation) -> None:
        """What an attempt holds, from now on. Nothing of an earlier life of the reservation counts."""
        job.charges = charges(r)
        self.sums.update(job.charges)
        admitted = structs.replace(r, state="admitted", admitted_at=self.now(), worker=None, started_at=None)
        job.reservation = untold(admitted)
        self.active[job.id] = job
        self.chains.begun(job.id, r.node)

    def count_claim(self, job: StoredJob, claim: dict[str, int], sign: int) -> None:
        """1 claims what one preloaded behind it may write, -1 gives it back."""
        for held in (job.charges, self.sums):
            for key, amount in claim.items():
                held[key] = held.get(key, 0) + sign * amount
                if not held[key]:
                    del held[key]

    def landed_since(self, at: float | None) -> Counter[str]:
        """Charge key → bytes that came onto that disk since a tick looked; None: not asked."""
        found = Counter[str]()
        for fact in self.chains.landed if at is not None else ():
            if at is not None and fact.at >= at:
                found[disk_key(fact.node, fact.root)] += fact.bytes
        return found

    def release(self, job: StoredJob) -> Reservation | None:
        """Give back what an admitted or running attempt holds, once: the reservation is the proof that it
        does.
        """
        held = job.reservation
        if held is None:
            return None
        for key, amount in job.charges.items():
            self.sums[key] -= amount
            if not self.sums[key]:
                del self.sums[key]
        job.reservation, job.charges = None, {}
        job.off_queue_at, job.asked, job.is_told = None, None, False
        del self.active[job.id]
        self.preloaded.pop(job.id, None)
        entry = entry_of(held)
        if entry in self.queues[held.queue]:
            self.queues[held.queue].remove(entry)
        return held

    def free(self, job: StoredJob) -> None:
        """Those who waited for a job that is done now."""
        for other in self._dependants(job.id, forget=True):
            self._settle(other, other.waits_for, job.id)
            self._settle(other, other.waits_for_end, job.id)

    def bury(self, job: StoredJob, state: JobState) -> None:
        """Dead or cancelled; the jobs in whose `after` it stands die with it, however deep."""
        self.move(job, state)
        deaths, before = [job], set[str]()
        while deaths:
            dead = deaths.pop()
            before |= dead.waits_for | dead.waits_for_end
            for other in self._dependants(dead.id):
                self._settle(other, other.waits_for_end, dead.id)
                if dead.id in other.waits_for and other.state in ("waiting", "review"):
                    note_orphan(other, dead.id)
                    self.move(other, "dead")
                    deaths.append(other)
        priority_inheritance.take_back(self, before)

    def shelve(self, job: StoredJob) -> None:
        """Into review, out of wherever it waited; the jobs that come after it, dead or alive, wait there
        with it.
        """
        self.unrest(job)
        self.move(job, "review")
        shelved = [job]
        while shelved:
            root = shelved.pop()
            for other in self._dependants(root.id):
                if other.state == "waiting" and (
                    root.id in other.waits_for or root.id in other.waits_for_end
                ):
                    self.move(other, "review")
                    shelved.append(other)

    def begin_to_wait(
        self,
        job: StoredJob,
        after: Sequence[str],
        after_ended: Sequence[str],
        over: JobState | None = None,
        not_before: float | None = None,
    ) -> None:
        """Into the backlog, behind what it comes after, by the state things are in now. Unknown counts as
        unmet; dead takes it along, and so does what is in review. `over`: it is over already."""
        self.want(job, after, after_ended)
        doomed = [other for other in after if self.state_of(other) in OVER]
        if over:
            self.bury(job, over)
        elif doomed:
            note_orphan(job, doomed[-1])
            self.bury(job, "dead")
        elif any(self.state_of(other) == "review" for other in job.waits_for | job.waits_for_end):
            self.shelve(job)
        else:
            self.rest(job, not_before)
        if job.state in ("waiting", "review"):
            priority_inheritance.lift_before(self, job)

    def want(self, job: StoredJob, after: Sequence[str], after_ended: Sequence[str]) -> None:
        job.waits_for |= {other for other in after if self.state_of(other) != "done"}
        job.waits_for_end |= {other for other in after_ended if self.state_of(other) not in ("done", *OVER)}
        for other in job.waits_for | job.waits_for_end:
            self.waited_on_by[other].add(job.id)

    def revive(self, job: StoredJob) -> None:
        """Those who died with a job that lives again, or went into review with it: each comes back unless it
        wants another."""
        risen = [job]
        while risen:
            for other in self._dependants(risen.pop().id):
                died_with = other.state == "dead" and other.cause == "dependency_dead"
                waits_with = other.state == "review" and bool(other.waits_for or other.waits_for_end)
                if (died_with or waits_with) and not self.is_blocked(other):
                    if died_with:
                        forget_failures(other)
                    priority_inheritance.fit(self, other)
                    self.move(other, "waiting")
                    self.rest(other)
                    priority_inheritance.lift_before(self, other)
                    risen.append(other)

    def is_blocked(self, job: StoredJob) -> bool:
        """Does it come after a job that is dead, cancelled or in review?"""
        after = {self.jobs[job_id].state for job_id in job.waits_for if job_id in self.jobs}
        ended = {self.jobs[job_id].state for job_id in job.waits_for_end if job_id in self.jobs}
        return bool(after & {"dead", "cancelled", "review"}) or "review" in ended

    def lose(self, job: StoredJob, cause: Cause, message: str, then: Retry | Dead) -> Reservation | None:
        """An attempt ended without a receipt that counts: back to the backlog, or to its grave. The
        operator's word wins. What it held; None where it was the operator who ended it."""
        asked = job.asked or (OperatorRequest("cancel", cause, message) if cause == "cancelled" else None)
        held = self.release(job)
        is_free = asked is None and isinstance(then, Retry) and then.is_free
        if not is_free and (asked is None or asked.verb != "requeue"):
            job.failures[(asked and asked.cause) or cause] += 1
        if asked is not None:
            self.as_asked(job, asked)
        else:
            job.cause, job.message = cause, message
            if isinstance(then, Dead):
                self.bury(job, "dead")
            else:
                if then.job_class is not None:
                    job.job_class = self.classes.setdefault(then.job_class.id, then.job_class)
                priority_inheritance.fit(self, job, is_any=True)
                self.move(job, "waiting")
                self.rest(job, self.now() + then.delay_s)
        self.ring()
        return held if asked is None else None

    def as_asked(self, job: StoredJob, asked: OperatorRequest) -> None:
        """What the operator asked for becomes of a job that holds nothing (any more)."""
        if asked.verb == "requeue":
            priority_inheritance.fit(self, job, is_any=True)
            self.move(job, "waiting")
            self.rest(job)
            return
        job.cause, job.message = asked.cause, asked.message
        self.bury(job, "cancelled" if asked.verb == "cancel" else "dead")

    def _dependants(self, job_id: str, forget: bool = False) -> Iterator[StoredJob]:
        waited_on_by = (
            self.waited_on_by.pop(job_id, set()) if forget else self.waited_on_by.get(job_id, set())
        )
        return (self.jobs[other] for other in sorted(waited_on_by))

    def _settle(self, job: StoredJob, waits_for: set[str], settled: str) -> None:
        """One of the things it waited for is settled; when it was the last one, it may go."""
        if settled in waits_for:
            waits_for.discard(settled)
            if job.state == "review" and not self.is_blocked(job):
                self.move(job, "waiting")
            if job.state == "waiting":
                self.rest(job)


def entry_of(held: Reservation) -> str:
    return f"{held.job_id}-a{held.attempt}"


def note_orphan(job: StoredJob, dead: str) -> None:
    job.cause, job.message = "dependency_dead", f"it comes after {dead}, which did not make it"


def forget_failures(job: StoredJob) -> None:
    job.cause, job.message = None, ""
    job.failures.clear()
