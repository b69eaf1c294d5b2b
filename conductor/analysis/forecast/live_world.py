"""When will all of it be done: what waits and goes, played through from the present snapshot by the very
decision.

Durations are those that receipts taught; each queue has the workers its node reports. Pure but for what it is
given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.simulation.cluster import SCRATCH
from conductor.analysis.simulation.rates import SimulatedRates
from conductor.analysis.simulation.workload import SimulatedJob, chains_of
from conductor.analysis.simulation.world import World
from conductor.base.settings.endpoint_settings import Rate
from conductor.core.capacity.cluster import Free
from conductor.core.capacity.resources import asked_in_all
from conductor.core.chains.feasible_order import can_finish
from conductor.model.forecast import Prediction
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, JobClass, RateState, Reservation, Snapshot
from conductor.model.spec import Lane, from_line

#: A class with the needs and the duration that receipts taught.
Teach = Callable[[JobClass], JobClass]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the past teaches: the class with its learned needs and duration, what is lost between two jobs."""

    teach: Teach
    overhead_s: float = 0.0
    #: Task → so many of each new kind must verify before the rest starts.
    canary: Mapping[str, int] = {}


class LiveWorkload:
    """Jobs as `World` wants them, from the ledger's lines and reservations."""

    def __init__(self, pending: Sequence[Pending], snapshot: Snapshot, known: Known) -> None:
        self._taught: dict[str, JobClass] = {}
        self._known = known
        self.unknown: set[str] = set()
        # Of a host that reports no more nobody knows anything: what it had in hand is played as what waits.
        hosts = {node.node for node in snapshot.nodes}
        held = {r.job_id: r for r in snapshot.reservations if r.node in hosts}
        rows = [(row, from_line(row.line)) for row in pending]
        self.jobs = [self._job(row, held.get(row.job_id)) for row, _ in rows]
        by_id = {job.id: job for job in self.jobs}
        for job, (_, spec) in zip(self.jobs, rows, strict=True):
            for other in dict.fromkeys((*spec.after, *spec.after_ended)):
                if (before := by_id.get(other)) is not None:
                    before.goes_before(job)
            job.reads = tuple(path for path in dict.fromkeys(spec.reads) if path.startswith(f"{SCRATCH}:"))
            job.writes = {o.path: o.bytes for o in spec.writes if o.path.startswith(f"{SCRATCH}:")}
        # Where the live conductor keeps no way out for chains, neither does the one that is played.
        declared_s = {row.job_id: row.job_class.duration_s for row in pending}
        self.chains = chains_of(self.jobs, declared_s) if snapshot.chains else []

    def _job(self, row: Pending, reservation: Reservation | None) -> SimulatedJob:
        taught = self._taught.get(row.job_class.id)
        if taught is None:
            taught = self._taught[row.job_class.id] = self._known.teach(row.job_class)
        if taught.duration_s <= 0:
            self.unknown.add(taught.task)
        job = SimulatedJob(row.job_id, row.seq, row.since, taught.duration_s + self._known.overhead_s, taught)
        job.reservation = reservation
        return job


class MovedBudgets:
    """The budgets of APIs on the clock of a world."""

    def __init__(self, budgets: Mapping[str, Rate], now: float) -> None:
        self._clock = ManualClock(now)
        self._rates = SimulatedRates(budgets, memory_ledger(self._clock).calls, self._clock)

    def at(self, now: float) -> None:
        self._clock.advance(max(0.0, now - self._clock.now()))

    def states(self, active: Sequence[Reservation]) -> tuple[RateState, ...]:
        return self._rates.states(active)

    def take(self, job_id: str, attempt: int, rates: Mapping[str, tuple[int, int]]) -> None:
        self._rates.take(job_id, attempt, rates)


def played(
    snapshot: Snapshot, limits: Limits, pending: Sequence[Pending], known: Known, budgets: Mapping[str, Rate]
) -> Prediction:
    """Play it to its end."""
    live = LiveWorkload(pending, snapshot, known)
    left_out = not_counted(snapshot, [job.job_class for job in live.jobs], known.canary)
    plain = Prediction(made_at=snapshot.now, left=len(live.jobs), left_out=left_out)
    if not live.jobs:
        return msgspec.structs.replace(plain, ends_at=snapshot.now)
    classes = [job.job_class for job in live.jobs]
    if why := why_not(snapshot, classes, ()):
        return msgspec.structs.replace(plain, because=why)
    # What nobody knows is played as if it took no time: the end cannot be earlier.
    unknown = why_not(snapshot, classes, live.unknown)
    world = world_of(live, snapshot, limits, budgets)
    world.run()
    ends = [job.end_s for job in world.jobs if job.end_s is not None]
    lost_s = {gate: round(seconds, 3) for gate, seconds in sorted(world.held_s.items())}
    if world.stuck or not ends:
        return msgspec.structs.replace(
            plain, because="what waits cannot all run with what there is now", lost_s=lost_s
        )
    if unknown:
        return msgspec.structs.replace(plain, not_before=max(ends), because=unknown, lost_s=lost_s)
    return msgspec.structs.replace(plain, ends_at=max(ends), lost_s=lost_s)


def world_of(live: LiveWorkload, snapshot: Snapshot, limits: Limits, budgets: Mapping[str, Rate]) -> World:
    """What goes on from the snapshot. Its reports do not grow old, and what is held is measured as it is
    now.
    """
    going = {job.id for job in live.jobs if job.reservation is not None}
    snapshot = msgspec.structs.replace(snapshot, nodes=tuple(_emptied(node) for node in snapshot.nodes))
    # What has ended since it was read holds nothing for long, and nobody would tell the world that it ended.
    begin = msgspec.structs.replace(
        snapshot, chains=(), reservations=tuple(r for r in snapshot.reservations if r.job_id in going)
    )
    unbounded = msgspec.structs.replace(limits, report_ttl_s=math.inf)
    live.chains = [chain for chain in live.chains if can_finish(chain, largest_disk(snapshot))]
    moved = MovedBudgets(budgets, snapshot.now) if budgets else None
    return World(live, snapshot.nodes, unbounded, begin=begin, budgets=moved)


def _emptied(node: NodeReport) -> NodeReport:
    """What nobody needs any more goes when its room is wanted."""
    volumes = tuple(
        msgspec.structs.replace(v, free_bytes=v.free_bytes + v.removable_bytes)
        if v.removable_bytes and v.free_bytes is not None
        else v
        for v in node.volumes
    )
    return msgspec.structs.replace(node, volumes=volumes)


def not_counted(
    snapshot: Snapshot, classes: Sequence[JobClass], canary: Mapping[str, int]
) -> tuple[str, ...]:
    """What holds jobs back and is not played."""
    verified = {k.kind: k.verified for k in snapshot.kinds}
    open_kinds = {k.kind for k in snapshot.kinds if k.opened_at is not None}
    first = sorted({c.task for c in classes if verified.get(c.kind, 0) < canary.get(c.task, 0)})
    closed = sorted({c.task for c in classes if c.kind in open_kinds})
    return (
        *(f"the canaries of {task}" for task in first),
        *(f"that {task} failed and is held back" for task in closed),
    )


def largest_disk(snapshot: Snapshot) -> int:
    return max(
        (v.total_bytes or 0 for n in snapshot.nodes for v in n.volumes if v.root == SCRATCH), default=0
    )


def why_not(snapshot: Snapshot, classes: Sequence[JobClass], unknown: Collection[str]) -> str:
    """Why nobody can say when it ends; empty: one can."""
    controls = snapshot.controls
    if not snapshot.nodes:
        return "no node reports"
    if controls.is_draining or controls.hold:
        return controls.hold or "it drains: nothing new starts"
    closed = [next((o.words for o in node.obstacles if not o.device), "") for node in snapshot.nodes]
    if all(closed):
        return f"nothing new starts: {closed[0]}"
    if paused := sorted({c.lane for c in classes} & set(controls.paused_lanes)):
        return f"the {paused[0]} lane is paused"
    if paused := sorted({c.backlog for c in classes} & set(controls.paused_backlogs)):
        return f"the {paused[0]} backlog is paused"
    if unknown:
        takes = "takes" if len(unknown) == 1 else "take"
        return f"nothing is known yet of how long {', '.join(sorted(unknown))} {takes}"
    return ""


# ── too many to be played ─────────────────────────────────────────────────────────────────────────────────


def by_area(
    snapshot: Snapshot, limits: Limits, candidates: Sequence[Candidate], waiting: int, known: Known
) -> Prediction:
    """The most loaded resource decides: workers of a lane, VRAM, memory, cores. `waiting`: with those in
    no class.
    """
    taught = [(known.teach(c.job_class), c.waiting) for c in candidates]
    left_out = not_counted(snapshot, [c for c, _ in taught], known.canary)
    if limits.hours:
        left_out = (*left_out, "the hours of lanes and backlogs")
    plain = Prediction(
        made_at=snapshot.now, left=waiting + len(snapshot.reservations), is_rough=True, left_out=left_out
    )
    classes = [c for c, _ in taught]
    if why := why_not(snapshot, classes, ()):
        return msgspec.structs.replace(plain, because=why)
    free_to_go = sum(count for _, count in taught)
    if not free_to_go:
        return msgspec.structs.replace(plain, because="what waits comes after others")
    # Who waits for others is in no class: taken to be like the rest.
    more = waiting / free_to_go
    work = [(c, count * more * (c.duration_s + known.overhead_s)) for c, count in taught]
    longest = max(_loads(Free(snapshot, limits), work), default=0.0)
    going = sum(
        max(0.0, r.expected_s - (snapshot.now - (r.started_at or snapshot.now)))
        for r in snapshot.reservations
    )
    end = snapshot.now + longest + going / max(1, sum(_workers(snapshot).values()))
    if unknown := why_not(snapshot, classes, {c.task for c in classes if c.duration_s <= 0}):
        return msgspec.structs.replace(plain, not_before=end, because=unknown)
    return msgspec.structs.replace(plain, ends_at=end)


def _loads(free: Free, work: Sequence[tuple[JobClass, float]]) -> list[float]:
    """Seconds that each resource has to carry, were it always full."""
    asked = [(asked_in_all(c.needs), s) for c, s in work]
    loads = [_load(sum(amounts[i] * s for amounts, s in asked), has) for i, has in enumerate(free.whole)]
    for lane, workers in _workers(free.snapshot).items():
        loads.append(_load(sum(s for c, s in work if c.lane == lane), workers))
    return loads


def _load(amount: float, capacity: float) -> float:
    return amount / capacity if capacity else 0.0


def _workers(snapshot: Snapshot) -> dict[Lane, int]:
    found: dict[Lane, int] = {}
    for queue in (queue for node in snapshot.nodes for queue in node.queues):
        found[queue.lane] = found.get(queue.lane, 0) + queue.workers
    return found
