"""The event queue: arrivals and ends move the clock, `decide` does the rest. No second decision is made here.

A world may begin empty (`conductor simulate`), or from what a live conductor sees
(`conductor.analysis.forecast.live_world`): then jobs are going already, a queue has as many workers as its
node says, and APIs have budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Protocol

import msgspec

from conductor.analysis.simulation.cluster import SCRATCH
from conductor.analysis.simulation.ledger import Hosts
from conductor.analysis.simulation.never import NeverRuns
from conductor.analysis.simulation.queues import SimulatedQueue, SimulatedWorkers
from conductor.analysis.simulation.workload import SimulatedJob
from conductor.base import hours
from conductor.core.admission.admission import decide
from conductor.core.admission.decision_state import DecisionState
from conductor.core.chains.feasible_order import can_finish
from conductor.core.placement.fragmentation import kind_of
from conductor.model.chains import Chain
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import RateState, Reservation, Snapshot

#: With more jobs than this, the gates are asked for their reasons only at every so many-th event, and where
#: something can never run: a class that is new is no reason, for each job may be a class of its own.
MANY_JOBS = 5_000
ASK_EVERY = 200
#: With more jobs than this on more nodes than this, a decision is made once in a tick, not at every event.
MANY_MORE, MANY_NODES = 100_000, 64
#: Ended jobs between two words on how far it is.
STEP = 2_000
#: An API that has room again is looked at no sooner than after so long.
LEAST_LOOK_S = 0.01
#: Nothing has begun or ended for so long: no hours of the day will change that.
LONGEST_STILL_S = 2 * hours.DAY_S

#: What an event is; of one moment, ends come first. LOOK: an API may have room again.
END, ARRIVAL, LOOK = 0, 1, 2


class Budgets(Protocol):
    """What an API still allows, in simulated time (`conductor.analysis.simulation.rates`)."""

    def at(self, now: float) -> None: ...

    def states(self, active: Sequence[Reservation]) -> tuple[RateState, ...]: ...

    def take(self, job_id: str, attempt: int, rates: Mapping[str, tuple[int, int]]) -> None: ...


class Load(Protocol):
    """What is to be simulated: a manifest's `Workload`, or what a ledger holds."""

    jobs: list[SimulatedJob]
    chains: list[Chain]


class World:
    """Runs a workload to its end. Afterwards the jobs hold their times; `hosts` what was really used."""

    def __init__(
        self,
        workload: Load,
        nodes: Sequence[NodeReport],
        limits: Limits,
        *,
        begin: Snapshot | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        """`begin`: the instant to go on from; the workload's jobs that are going hold reservations of it."""
        self._goes_on_from_live = begin is not None
        begin = begin or Snapshot(now=0.0, nodes=tuple(nodes))
        self.jobs = workload.jobs
        self.nodes = tuple(nodes)
        self.limits = limits
        self.hosts = Hosts(nodes, workload.jobs, limits.counters)
        self.now = self.began_at = begin.now
        self.done = 0
        self.never = NeverRuns()
        self.held_s: dict[str, float] = {}
        self.state = DecisionState(begin, limits)
        self._controls = begin.controls
        self._budgets = budgets
        self._look_at: float | None = None
        self._moved_at = self.now
        self._pools = {q.queue: SimulatedWorkers(q.workers) for node in self.nodes for q in node.queues}
        self._by_id = {job.id: job for job in workload.jobs}
        self._events: list[tuple[float, int, int, SimulatedJob | None]] = []
        self._lines: dict[str, SimulatedQueue] = {}
        self._rates: dict[str, int] = {}
        self._ticks = 0
        #: What a live conductor remembers of those that waited goes on here.
        self._longest_s = begin.longest_wait_s
        self._passed_over = dict(begin.passed_over)
        self._used = begin.used
        self._take_chains(workload.chains)
        #: Those that wait for nobody: the next to arrive is among the events, the others are not.
        arriving = [job for job in workload.jobs if job.reservation is None and not job.waits]
        self._arriving = iter(sorted(arriving, key=lambda job: (max(self.now, job.arrival_s), job.seq)))
        self._next: SimulatedJob | None = None
        for job in workload.jobs:
            if job.reservation is not None:
                self._goes_on(job, job.reservation)
        self._look_ahead()

    def _look_ahead(self) -> None:
        job = self._next = next(self._arriving, None)
        if job is not None:
            heappush(self._events, (max(self.began_at, job.arrival_s), ARRIVAL, job.seq, job))

    def _goes_on(self, job: SimulatedJob, reservation: Reservation) -> None:
        """It was going when the world began: for what is left of its duration, or handed over and not
        begun.
        """
        self.hosts.started(job, reservation)
        job.start_s = reservation.started_at or self.now
        job.node, job.devices = reservation.node, reservation.devices
        pool = self._pools.setdefault(reservation.queue, SimulatedWorkers(1))
        if reservation.state == "running":
            pool.busy += 1
            heappush(self._events, (max(self.now, job.start_s + job.duration_s), END, job.seq, job))
        elif pool.busy < pool.workers:
            self._begin(job, pool)
        else:
            pool.handed.append(job)

    def _take_chains(self, chains: Sequence[Chain]) -> None:
        disk = max(
            (v.total_bytes or 0 for n in self.nodes for v in n.volumes if v.root == SCRATCH), default=0
        )
        for chain in chains:
            if self.limits.is_safe and not can_finish(chain, disk):
                self.never.refuse_chain(chain, disk, [self._by_id[part.job_id] for part in chain.jobs])
            else:
                self.state.life.add(chain)

    # ── the clock ─────────────────────────────────────────────────────────────────────────────────────────

    def run(self, on_step: Callable[[], None] | None = None) -> None:
        """`on_step`: called now and then, each time some thousand jobs more have ended."""
        told = 0
        #: Of a large cluster, one look decides for all that happens within so long, as live ticks do.
        apart_s = self.limits.tick_s if len(self.jobs) > MANY_MORE and len(self.nodes) > MANY_NODES else 0.0
        while self._events:
            until = self._events[0][0] + apart_s
            while self._events and self._events[0][0] <= until:
                at, kind, _, job = heappop(self._events)
                self._pass(at - self.now)
                self.now = at
                if job is self._next:
                    self._look_ahead()
                if job is None:
                    self._look_at = None
                elif kind == END:
                    self._end(job)
                else:
                    self._arrive(job)
            self._decide()
            if on_step is not None and self.done - told >= STEP:
                told = self.done
                on_step()

    def _pass(self, seconds: float) -> None:
        for gate, waiting in self._rates.items():
            self.held_s[gate] = self.held_s.get(gate, 0.0) + waiting * seconds

    def _arrive(self, job: SimulatedJob) -> None:
        if job.id in self.never.jobs:
            return
        job.ready_s = self.now
        line = self._lines.get(job.job_class.id)
        if line is None:
            line = self._lines[job.job_class.id] = SimulatedQueue(
                job.job_class, kind_of(self.state.demand(job.job_class))
            )
        line.jobs.append(job)
        line.candidate = None
        self.state.mix.saw(line.kind)

    def _end(self, job: SimulatedJob) -> None:
        reservation = job.reservation
        assert reservation is not None, "what ends has run"
        job.end_s = self._moved_at = self.now
        job.reservation = None
        self.done += 1
        self.hosts.ended(job, reservation)
        self.state.ended(reservation)
        pool = self._pools[reservation.queue]
        pool.busy -= 1
        if pool.handed and pool.busy < pool.workers:
            self._begin(pool.handed.popleft(), pool)
        for kid in job.kids:
            kid.waits -= 1
            if not kid.waits:
                heappush(self._events, (max(self.now, kid.arrival_s), ARRIVAL, kid.seq, kid))

    # ── the decision ──────────────────────────────────────────────────────────────────────────────────────

    def _decide(self, asks: bool = False) -> None:
        """`asks`: the gates are asked for their reasons."""
        self._ticks += 1
        is_due = asks or len(self.jobs) <= MANY_JOBS or self._ticks % ASK_EVERY == 0
        # Only the answers of the rate gates say when one opens again.
        self.state.explains = is_due or self._budgets is not None
        while self._lines:
            decision = self._tick()
            if not (decision.admit and decision.next_tick_s == 0.0):
                break
        else:
            decision = Decision(now=self.now)
        if is_due:
            self._note(decision)
        elif any(hold.is_infeasible for hold in decision.hold):
            self._decide(asks=True)
            return
        if self._goes_on_from_live:
            self._look_again(decision)

    def _look_again(self, decision: Decision) -> None:
        """Nothing may end or arrive by the time an API has room, hours begin, or workers have taken what
        is queued.
        """
        times = [
            v.reopens_at
            for hold in decision.hold
            for v in hold.closed
            if v.gate == "rate" and v.reopens_at is not None
        ]
        if decision.admit and decision.next_tick_s < self.limits.tick_s:
            times.append(self.now + decision.next_tick_s)
        if self._lines and self.now - self._moved_at < LONGEST_STILL_S:
            times += self._outside_hours().values()
        at = max(self.now + LEAST_LOOK_S, min(times, default=float("inf")))
        if at < float("inf") and (self._look_at is None or at < self._look_at):
            self._look_at = at
            heappush(self._events, (at, LOOK, -1, None))

    def _tick(self) -> Decision:
        candidates = [line.as_candidate() for line in self._lines.values()]
        decision = decide(self.snapshot(), candidates, self.limits, self.state)
        self._passed_over = {
            h.head: h.passed_over_since for h in decision.hold if h.passed_over_since is not None
        }
        self._used = decision.used
        for admission in decision.admit:
            if self._budgets is not None and admission.rates:
                self._budgets.take(
                    admission.reservation.job_id, admission.reservation.attempt, admission.rates
                )
            self._start(admission.reservation)
        return decision

    def snapshot(self) -> Snapshot:
        """Nodes as they were at the start: what has changed since, the decision state was told."""
        plain = Snapshot(
            now=self.now, nodes=self.nodes, longest_wait_s=self._longest_s, controls=self._controls,
            passed_over=self._passed_over, used=self._used,
        )  # fmt: skip
        if not self._goes_on_from_live:
            return plain
        # Whose turn it is between backlogs goes by what each has going.
        going, rates = tuple(self.state.free.reservations), tuple[RateState, ...]()
        if self._budgets is not None:
            self._budgets.at(self.now)
            rates = self._budgets.states(going)
        return msgspec.structs.replace(
            plain, reservations=going, rates=rates, outside_hours=self._outside_hours()
        )

    def _outside_hours(self) -> dict[str, float]:
        """Lane or backlog that is outside its hours → when they begin again."""
        return hours.outside_hours(self.limits.hours, self.now)

    def full_snapshot(self) -> Snapshot:
        """The same instant as a live conductor would see it: nothing is taken for known."""
        kept = self.hosts.lying()
        return msgspec.structs.replace(
            self.snapshot(),
            nodes=tuple(_with_files(node, kept.get(node.node, 0)) for node in self.nodes),
            reservations=tuple(self.state.free.reservations),
            chains=self.state.life.as_chains(),
            order=self.state.life.order(),
            usual=self.state.usual(),
        )

    def _start(self, admitted: Reservation) -> None:
        job = self._by_id[admitted.job_id]
        line = self._lines[job.job_class.id]
        line.jobs.remove(job)
        line.candidate = None
        if not line.jobs:
            del self._lines[job.job_class.id]
        job.reservation, job.node, job.devices = admitted, admitted.node, admitted.devices
        self._longest_s = max(self._longest_s, self.now - job.arrival_s)
        self._moved_at = self.now
        self.hosts.started(job, admitted)
        pool = self._pools[admitted.queue]
        if pool.busy < pool.workers:
            self._begin(job, pool)
        else:
            pool.handed.append(job)

    def _begin(self, job: SimulatedJob, pool: SimulatedWorkers) -> None:
        """A worker takes it."""
        assert job.reservation is not None, "what begins was handed over"
        pool.busy += 1
        job.start_s = self.now
        job.reservation = msgspec.structs.replace(job.reservation, state="running", started_at=self.now)
        self.state.started(job.reservation)
        heappush(self._events, (self.now + job.duration_s, END, job.seq, job))

    def _note(self, decision: Decision) -> None:
        """Who waits for which gate, until the next time they are asked."""
        self._rates = {}
        for hold in decision.hold:
            line = self._lines.get(hold.class_id)
            if line is None:
                continue
            if hold.is_infeasible:
                self.never.refuse_class(hold, line.jobs, self.now)
                del self._lines[hold.class_id]
                continue
            for gate in {verdict.gate for verdict in hold.closed}:
                self._rates[gate] = self._rates.get(gate, 0) + hold.waiting

    @property
    def stuck(self) -> int:
        """Jobs that could run, and never did."""
        return len(self.jobs) - self.done - len(self.never.jobs)


def _with_files(node: NodeReport, kept: int) -> NodeReport:
    volumes = tuple(
        msgspec.structs.replace(v, free_bytes=(v.total_bytes or 0) - kept) if v.root == SCRATCH else v
        for v in node.volumes
    )
    return msgspec.structs.replace(node, volumes=volumes)
