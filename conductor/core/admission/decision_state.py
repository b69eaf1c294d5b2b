"""What a snapshot amounts to: what is left, where things go, which files live. Built for one tick, or kept up
to date by a caller that knows of every start and end (`simulate`), so that a tick costs by what changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from conductor.core.admission.refusals import Question
from conductor.core.capacity.cluster import Free, NodeFree
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import steps_held
from conductor.core.chains.begun_chains import Life
from conductor.core.placement.fragmentation import JobShape, kind_of
from conductor.core.placement.packing import Packing
from conductor.core.placement.placement import Placement, Placing
from conductor.core.placement.workload_mix import Mix
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, JobClass, Reservation, Snapshot, UsualKind
from conductor.model.spec import Lane

#: So many requests are kept read.
MOST_DEMANDS = 10_000


class DecisionState:
    """Mutable. The decision takes from it what it admits; who keeps it gives back what has ended."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        self.limits = limits
        self.free = Free(snapshot, limits)
        self.life = Life(snapshot.chains, snapshot.order)
        self.mix = Mix()
        self._demands: dict[str, tuple[JobClass, Demand]] = {}
        #: Requests that no node could ever take, and those that one could: while the nodes are the same.
        self.never: dict[Hashable, bool] = {}
        #: What the gates were asked before (`core.admission.refusals`).
        self.questions: dict[Hashable, Question] = {}
        #: False: held classes are named without the answers of their gates, which cost most of a large tick.
        self.explains = True
        #: Lane → one node of each size, for the question what could ever run.
        self.kinds: dict[Lane, list[NodeFree]] = {}
        self.placement: Placing = (
            Placement(self.free)
            if limits.place == "tightest"
            else Packing(self.free, self.mix, limits.place, limits.seed)
        )

    def look_at(self, candidates: Iterable[Candidate]) -> None:
        """Which kinds of jobs are usual here: as the snapshot remembers, or those that wait and those that
        run.
        """
        if not isinstance(self.placement, Packing):
            return
        if self.free.snapshot.usual:
            self.mix.given(self.free.snapshot.usual)
            return
        saw, demands = self.mix.saw, self._demands
        for candidate in candidates:
            job_class = candidate.job_class
            known = demands.get(job_class.id)
            demand = known[1] if known is not None and known[0] is job_class else self.demand(job_class)
            if demand.vram_mib:
                saw(kind_of(demand), candidate.waiting)
        for r in self.free.reservations:
            if r.vram_mib:
                saw(JobShape(steps_held(r), max(1, len(r.devices)), r.vram_mib))

    def demand(self, job_class: JobClass, node: str | None = None) -> Demand:
        """Its request; read once where it is bound to no node."""
        if node is not None:
            return Demand(job_class, node, self.limits.counters)
        known = self._demands.get(job_class.id)
        if known is None or (known[0] is not job_class and known[0] != job_class):
            if len(self._demands) >= MOST_DEMANDS:
                self._demands.clear()
            known = self._demands[job_class.id] = (job_class, Demand(job_class, None, self.limits.counters))
        return known[1]

    def usual(self) -> tuple[UsualKind, ...]:
        """What it remembers of the kinds of jobs, for a snapshot that shall be decided without it."""
        if isinstance(self.placement, Packing):
            self.placement.settle()
        return self.mix.as_usual()

    def follow(self, snapshot: Snapshot, limits: Limits) -> bool:
        """To the snapshot of a later tick, as if built from it. False: build another one."""
        if limits != self.limits or limits.place == "random":
            return False
        read = self.free.follow(snapshot)
        if read is None:
            return False
        if self.free.is_resized:
            self.kinds.clear()
            self.never.clear()
        for node in read:
            self.placement.read_again(node)
        self.life = Life(snapshot.chains, snapshot.order)
        self.mix.begin()
        return True

    # ── for its keeper ────────────────────────────────────────────────────────────────────────────────────

    def renew(self, snapshot: Snapshot) -> None:
        """Another tick: time has passed, the budgets of APIs are those of now, all else was told."""
        self.free.renew(snapshot)

    def started(self, reservation: Reservation) -> None:
        """An admitted one runs: the same reservation, with the time it started at. Its queue has room for
        another.
        """
        node = self.free.started(reservation)
        if node is not None:
            self.placement.moved(node)

    def ended(self, reservation: Reservation) -> None:
        """The reservation goes back to the pools; the files that the attempt wrote stay on their disk until
        the last reader has ended."""
        node = self.free.drop(reservation)
        member = self.life.member(reservation.job_id)
        if member is not None and (disk := node.disks.get(member.chain.root)) and disk.pool is not None:
            disk.pool.fill(member.written - self.life.ended(reservation.job_id))
        self.placement.moved(node)
