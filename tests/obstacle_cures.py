"""Doing what a gate named: the world after the obstacle of one verdict is gone, and nothing else has changed.

One cure for each reason; a reason without one is an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from builders import NOW, memory
from msgspec.structs import replace
from obstacle_worlds import ObstacleWorld, queued

from conductor.model.decision import Hold, Verdict
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.report import CounterReading, NodeReport, QueueReport
from conductor.model.snapshot import Candidate, KindState, Reservation, Snapshot
from conductor.model.spec import ResourceName


@dataclass
class SceneInCure:
    """A world that is being cured. `hold`: whose obstacles these are."""

    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    rule: Limits
    hold: Hold = field(default_factory=lambda: None)  # type: ignore[arg-type]

    def change(self, **fields: Any) -> None:
        self.snapshot = replace(self.snapshot, **fields)

    def control(self, **fields: Any) -> None:
        self.change(controls=replace(self.snapshot.controls, **fields))

    def on(self, name: str, edit: Callable[[NodeReport], NodeReport]) -> None:
        """`name` empty: on every node."""
        self.change(nodes=tuple(edit(n) if name in ("", n.node) else n for n in self.snapshot.nodes))

    def reclass(self, **fields: Any) -> None:
        """Of its own class."""
        self.candidates = tuple(
            replace(c, job_class=replace(c.job_class, **fields))
            if c.job_class.id == self.hold.class_id
            else c
            for c in self.candidates
        )


def cured(world: ObstacleWorld, hold: Hold) -> ObstacleWorld:
    """All that the hold names as closed is done; of a place that can never do nothing is named."""
    scene = SceneInCure(*world, hold)
    for verdict in hold.closed:
        if not verdict.is_never:
            CURES[verdict.reason](scene, verdict)
    return ObstacleWorld(scene.snapshot, scene.candidates, scene.rule)


# ── who holds it ends ─────────────────────────────────────────────────────────────────────────────────────


def end(scene: SceneInCure, v: Verdict) -> None:
    """Its holders have ended; for each that ran, a worker takes the next one of its queue."""
    over = [r for r in scene.snapshot.reservations if r.job_id in v.holders]
    left = {r.job_id: r for r in scene.snapshot.reservations if r not in over}
    for r in over:
        if r.state == "running":
            begin_next(left, r.queue)
    hold_only(scene, left)


def empty_the_queue(scene: SceneInCure, v: Verdict) -> None:
    """As many end as are named. Where fewer run than have to end, so many of the queued ones do too, each in
    its turn; where none runs, the workers have nothing to do and take them."""
    over = [r for r in scene.snapshot.reservations if r.job_id in v.holders]
    left = {r.job_id: r for r in scene.snapshot.reservations if r not in over}
    freed = [r.queue for r in over] or [r.queue for r in left.values()]
    more = max(0, v.detail.queued - round(v.limit) + 1 - len(over)) if over else 0
    begun = [begin_next(left, queue) for queue in (*freed, *[over[-1].queue if over else ""] * more)]
    for job_id in [job_id for job_id in begun if job_id][:more]:
        del left[job_id]
    hold_only(scene, left)


def begin_next(held: dict[str, Reservation], queue: str) -> str:
    """A worker takes the next one of its queue: which; "" when there is none."""
    nxt = next((r for r in held.values() if r.queue == queue and r.state == "admitted"), None)
    if nxt is None:
        return ""
    held[nxt.job_id] = replace(nxt, state="running", started_at=NOW)
    return nxt.job_id


def hold_only(scene: SceneInCure, left: Mapping[str, Reservation]) -> None:
    """What ended is of no chain any more."""
    held = tuple(left.values())
    over = {r.job_id for r in scene.snapshot.reservations} - left.keys()
    left_of = [(c, tuple(j for j in c.jobs if j.job_id not in over)) for c in scene.snapshot.chains]
    chains = tuple(replace(c, jobs=jobs) for c, jobs in left_of if jobs)
    scene.change(reservations=held, queued=queued(held), chains=chains)


# ── others give it back, or it is measured ────────────────────────────────────────────────────────────────


def give_back(scene: SceneInCure, v: Verdict) -> None:
    """Its holders end; where others use some of it, or nobody of ours holds any, they give it back."""
    end(scene, v)
    if v.detail.others > 0 or not v.holders:
        node, _, part = v.where.partition("/")
        scene.on(node, EMPTIED[v.gate](part))


def of_volume(part: str, **fields: Any) -> Callable[[NodeReport], NodeReport]:
    return lambda n: replace(
        n, volumes=tuple(replace(v, **fields) if v.root == part else v for v in n.volumes)
    )


def of_device(part: str, **fields: Any) -> Callable[[NodeReport], NodeReport]:
    return lambda n: replace(
        n, devices=tuple(replace(d, **fields) if d.key == part else d for d in n.devices)
    )


def measured(part: str) -> Callable[[NodeReport], NodeReport]:
    return lambda n: replace(n, measured=memory(65536, 65536))


EMPTIED: dict[str, Callable[[str], Callable[[NodeReport], NodeReport]]] = {
    "vram": lambda part: of_device(part, vram_used_mib=0),
    "scratch": lambda part: of_volume(part, free_bytes=100 << 30),
    **dict.fromkeys(get_args(ResourceName), measured),
}


def repair_root(scene: SceneInCure, v: Verdict) -> None:
    node, _, part = v.where.partition("/")
    scene.on(node, of_volume(part, fault=None, is_writable=True))


def open_disk(scene: SceneInCure, v: Verdict) -> None:
    node, _, part = v.where.partition("/")
    scene.on(node, of_volume(part, opens_at_bytes=None, free_bytes=100 << 30))


def finish_chains(scene: SceneInCure, v: Verdict) -> None:
    """All that was begun is finished, but for the job itself, whose chain is still its own."""
    own = ((c, tuple(j for j in c.jobs if j.job_id == scene.hold.head)) for c in scene.snapshot.chains)
    scene.change(chains=tuple(replace(c, jobs=jobs, kept={}) for c, jobs in own if jobs))


def give_back_count(scene: SceneInCure, v: Verdict) -> None:
    end(scene, v)
    if v.detail.others > 0:
        answer(scene, v)


def answer(scene: SceneInCure, v: Verdict) -> None:
    scene.change(counters=scene.snapshot.counters | {v.where: CounterReading(others=0)})


def open_budget(scene: SceneInCure, v: Verdict) -> None:
    scene.change(rates=tuple(r for r in scene.snapshot.rates if r.key != v.where))


# ── hosts ─────────────────────────────────────────────────────────────────────────────────────────────────


def report(scene: SceneInCure, v: Verdict) -> None:
    scene.on(v.where, lambda n: replace(n, sent_at=NOW - 1))


def bring_workers(scene: SceneInCure, v: Verdict) -> None:
    """Of the lane, for each of the devices where it is theirs."""

    def with_workers(n: NodeReport) -> NodeReport:
        lane = scene.hold.lane
        keys = [d.key for d in n.devices] if lane == "gpu" else []
        queues = [
            QueueReport(queue=f"{lane}-{n.node}-{key}", lane="gpu", device=key, workers=1) for key in keys
        ] or [QueueReport(queue=f"{lane}-{n.node}", lane=lane, workers=1)]  # type: ignore[arg-type]
        return replace(n, queues=(*[q for q in n.queues if q.lane != lane], *queues))

    scene.on(v.where, with_workers)


def serve_device(scene: SceneInCure, v: Verdict) -> None:
    node, _, key = v.where.partition("/")
    queue = QueueReport(queue=f"gpu-{node}-{key}-new", lane="gpu", device=key, workers=1)
    scene.on(node, lambda n: replace(n, queues=(*n.queues, queue)))
    give_back(scene, v)


def tell_task(scene: SceneInCure, v: Verdict) -> None:
    scene.on("", lambda n: replace(n, code={**n.code, v.detail.task: "1"} if n.code else {}))


def undrain(scene: SceneInCure, v: Verdict) -> None:
    scene.on(v.where, lambda n: replace(n, is_draining=False))
    told = scene.snapshot.controls.draining_nodes
    scene.control(draining_nodes=tuple(node for node in told if node != v.where))


def heal_device(scene: SceneInCure, v: Verdict) -> None:
    node, _, part = v.where.partition("/")
    scene.on(node, of_device(part, quarantined=None))


def show_device(scene: SceneInCure, v: Verdict) -> None:
    """The driver shows it again: here, the queue is of a device that is there."""
    node, _, part = v.where.partition("/")

    def shown(n: NodeReport) -> NodeReport:
        found = next((d for d in n.devices), None)
        missing = replace(found, index=int(part.removeprefix("gpu")), quarantined=None) if found else None
        return replace(n, devices=(*n.devices, missing)) if missing else n

    scene.on(node, shown)


def clear_obstacle(scene: SceneInCure, v: Verdict) -> None:
    node, _, part = v.where.partition("/")
    scene.on(
        node,
        lambda n: replace(
            n, obstacles=tuple(o for o in n.obstacles if (o.device, o.gate) != (part, v.detail.obstacle))
        ),
    )


# ── words of the operator and of the conductor ────────────────────────────────────────────────────────────


def resume_lane(scene: SceneInCure, v: Verdict) -> None:
    scene.control(paused_lanes=tuple(x for x in scene.snapshot.controls.paused_lanes if x != v.where))


def resume_backlog(scene: SceneInCure, v: Verdict) -> None:
    scene.control(paused_backlogs=tuple(x for x in scene.snapshot.controls.paused_backlogs if x != v.where))


def resume_device(scene: SceneInCure, v: Verdict) -> None:
    scene.control(paused_devices=tuple(x for x in scene.snapshot.controls.paused_devices if x != v.where))


def begin_hours(scene: SceneInCure, v: Verdict) -> None:
    scene.change(
        outside_hours={name: at for name, at in scene.snapshot.outside_hours.items() if name != v.where}
    )


def read_task(scene: SceneInCure, v: Verdict) -> None:
    scene.rule = replace(scene.rule, tasks=(*(scene.rule.tasks or ()), v.detail.task))


def close_breaker(scene: SceneInCure, v: Verdict) -> None:
    end(scene, v)
    scene.change(kinds=tuple(k for k in scene.snapshot.kinds if k.kind != v.detail.kind))


def verify_canary(scene: SceneInCure, v: Verdict) -> None:
    """Those of its kind, whatever code they have."""
    end(scene, v)
    of = next(c.job_class for c in scene.candidates if c.job_class.id == scene.hold.class_id)
    known = {k.version: k for k in scene.snapshot.kinds if k.kind == of.kind}
    versions = {n.code.get(of.task, "") for n in scene.snapshot.nodes} | known.keys()
    fresh = KindState(kind=of.kind, since=NOW, last_at=NOW)
    own = [replace(known.get(version, fresh), version=version, verified=99) for version in versions]
    others = [k for k in scene.snapshot.kinds if k.kind != of.kind]
    scene.change(kinds=(*others, *own))


def review(scene: SceneInCure, v: Verdict) -> None:
    scene.change(in_review={})


def show_need(scene: SceneInCure, v: Verdict) -> None:
    """A receipt of its kind is there."""
    scene.reclass(is_untried=False)


def wait(scene: SceneInCure, v: Verdict) -> None:
    """It waits for another job that waits, which is named: nothing to do but to wait."""


CURES: Mapping[Reason, Callable[[SceneInCure, Verdict], None]] = {
    Reason.STALE_REPORT: report,
    Reason.NO_FRESH_REPORT: report,
    Reason.NO_WORKERS: bring_workers,
    Reason.WORKERS_DYING: bring_workers,
    Reason.HOME_WITHOUT_WORKERS: bring_workers,
    Reason.HOME_SILENT: report,
    Reason.UNKNOWN_TASK: tell_task,
    Reason.UNREAD_TASK: read_task,
    Reason.HELD_BACK: lambda scene, v: scene.control(hold=""),
    Reason.DRAINING: lambda scene, v: scene.control(is_draining=False),
    Reason.LANE_PAUSED: resume_lane,
    Reason.BACKLOG_PAUSED: resume_backlog,
    Reason.LANE_OUTSIDE_HOURS: begin_hours,
    Reason.BACKLOG_OUTSIDE_HOURS: begin_hours,
    Reason.NODE_DRAINING: undrain,
    Reason.HOME_DRAINING: undrain,
    Reason.NODE_ENDS: lambda scene, v: scene.on(v.where, lambda n: replace(n, ends_at=None)),
    Reason.BEYOND_ONE_JOB: lambda scene, v: scene.on(v.where, lambda n: replace(n, single_jobs=None)),
    Reason.ENGINE_REFUSES: lambda scene, v: scene.on(v.where, lambda n: replace(n, single_jobs=None)),
    Reason.DEVICE_PAUSED: resume_device,
    Reason.DEVICE_QUARANTINED: heal_device,
    Reason.OBSTRUCTED: clear_obstacle,
    Reason.DEVICE_MISSING: show_device,
    Reason.REVIEW_DEBT: review,
    Reason.BREAKER_WAITS: close_breaker,
    Reason.BREAKER_TRIES: close_breaker,
    Reason.BREAKER_SPENT: close_breaker,
    Reason.FAILING_ALIKE: close_breaker,
    Reason.CANARY: verify_canary,
    Reason.UNTRIED: show_need,
    Reason.PLACE_RESERVED: wait,
    Reason.BUDGET_RESERVED: wait,
    Reason.ROOT_FAULTY: repair_root,
    Reason.ROOT_READ_ONLY: repair_root,
    Reason.QUEUE_FULL: empty_the_queue,
    Reason.NO_ROOM: give_back,
    Reason.CROWDED_OUT: give_back,
    Reason.NOT_READABLE: give_back,
    Reason.COUNTER_TAKEN: give_back_count,
    Reason.COUNTER_SILENT: answer,
    Reason.COUNTER_STALE: answer,
    Reason.TOO_FEW_FREE: wait,
    Reason.DEVICE_UNSERVED: serve_device,
    Reason.DISK_CLOSED: open_disk,
    Reason.CHAIN_UNSAFE: finish_chains,
    Reason.CHAINS_CROWDED: finish_chains,
    Reason.RATE_LIMITED: open_budget,
    Reason.ENDPOINT_UNAVAILABLE: open_budget,
    Reason.ENDPOINT_REFUSES: open_budget,
    Reason.ONE_ASKS_FIRST: open_budget,
    Reason.BUDGET_SHORT: open_budget,
    Reason.MONEY_SPENT: open_budget,
}
