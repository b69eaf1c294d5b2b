"""What the twin remembers, one lock around it, and the smallest steps on it: a job moves, rests, reserves and
gives back.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, defaultdict

from msgspec import structs

from conductor.adapters.memory.chains import Chains
from conductor.adapters.memory.class_queue import ClassQueue
from conductor.adapters.memory.server_history import History
from conductor.adapters.memory.stored_job import PreloadedSuccessor, StoredJob, entry_of
from conductor.core.capacity.charges import charges, disk_key
from conductor.core.failures.failure_counts import KindRecord, shown
from conductor.model.calls import Call, EndpointFault
from conductor.model.decision import GateLedger, StandingOffer, Successor
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import JobState, Preloaded, RollCall, untold
from conductor.model.report import NodeReport
from conductor.model.schedule import ScheduleState
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import Lane
from conductor.ports import Clock

#: Back-offs moved in by one look; the bell rings for the rest.
DUE = 1000


class StoreState:
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
        #: Node → how often something was handed over to one of its queues.
        self.handed_over: Counter[str] = Counter()
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
        #: Class → where its next job starts, left in which epoch, and until when.
        self.offers: dict[str, tuple[StandingOffer, int, float]] = {}
        self.preloaded: dict[str, PreloadedSuccessor] = {}
        #: Worker → what it is to hear of that, and has not read.
        #: Worker → when it last renewed.
        self.heard: dict[str, float] = {}
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
        self.paused_backlogs: set[str] = set()
        #: Place → the last word that it is to be used.
        self.resumed: Counter[str] = Counter()
        self.is_draining = False
        self.generation: str | None = None
        self.served_by: ServedBy | None = None
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
        """Offers were made for a world without what it is rung for."""
        self.offers = {}
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
        if job.is_shown:
            self._review_left(job, state)
        before, job.state = job.state, state
        self.chains.moved(job.id, before, state)

    def _review_left(self, job: StoredJob, state: JobState) -> None:
        """It waited for a person's verdict. What was turned down counts no more, whoever hands it in."""
        self.count_shown(job.shown_as, -1)
        job.shown, job.shown_as, job.verdicts = None, None, {}
        if state != "done":
            job.accepted, job.token, job.redone = 0, "", job.attempts

    def count_shown(self, seen: Reservation | None, by: int) -> None:
        """One more of a kind's first ones waits for a person's word, or (-1) none any more."""
        if seen is None or not seen.kind or not seen.role:
            return
        field = f"{seen.kind}@{seen.code}"
        record = shown(self.kinds.get(field), by, self.now())
        if record is not None:
            self.kinds[field] = record
        else:
            self.kinds.pop(field, None)

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

    def written_since(self, at: float | None) -> Counter[str]:
        """Charge key → bytes that came onto that disk since a tick looked; None: not asked."""
        found = Counter[str]()
        for fact in self.chains.written if at is not None else ():
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
