"""The gates: each a small function that answers with numbers, per place. Asked of every class that is held.

A gate of a node looks at one node that has workers of the lane; a gate of the class looks at none. A refusal
is data: need, have, limit, who holds it, when it could open, and whether it ever can.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from conductor.core.admission.amount_gates import NodeGate, of_resource, scratch, vram
from conductor.core.admission.counter_gates import counter, node_counter
from conductor.core.admission.lane_gate import lane
from conductor.core.admission.rate_gate import rate
from conductor.core.capacity.cluster import DeviceFree, Free, NodeFree
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import NODE
from conductor.core.placement.place import usable_devices
from conductor.model.decision import Gate, Verdict
from conductor.model.reason import NO_DETAIL, OPEN, Detail, Reason
from conductor.model.snapshot import JobClass

# ── gates of the class ────────────────────────────────────────────────────────────────────────────────────


def report(demand: Demand, free: Free) -> list[Verdict]:
    """Does a live node have workers of this lane; of a job whose files lie on one node: that one. Stale nodes
    are named one by one."""
    able = [n for n in free.nodes.values() if n.queues.get(demand.lane) and demand.node in (None, n.name)]
    stale = [
        Verdict(gate="report", passed=False, reason=Reason.STALE_REPORT, where=n.name, have=n.age_s,
                limit=free.limits.report_ttl_s, unit="s")
        for n in able if n.is_stale
    ]  # fmt: skip
    if not able:
        return [_nobody(demand, free)]
    fresh = len(able) - len(stale)
    reason = OPEN if fresh else Reason.NO_FRESH_REPORT
    return [
        *stale,
        Verdict(
            gate="report", passed=fresh > 0, reason=reason, need=1, have=fresh, limit=len(able), unit="nodes"
        ),
    ]


def _nobody(demand: Demand, free: Free) -> Verdict:
    """No node that may run it has workers of its lane."""
    if not free.nodes:
        return Verdict(gate="report", passed=False, reason=Reason.NO_NODE, need=1, unit="nodes")
    for n in free.nodes.values():
        if demand.node in (None, n.name) and not n.is_stale and (dying := n.dying.get(demand.lane)):
            detail = Detail(queue=dying.queue, words=dying.dying)
            return Verdict(gate="report", passed=False, reason=Reason.WORKERS_DYING, where=n.name, need=1,
                           unit="nodes", detail=detail)  # fmt: skip
    if demand.node is None:
        detail = Detail(lane=demand.lane)
        return Verdict(
            gate="report", passed=False, reason=Reason.NO_WORKERS, need=1, unit="workers", detail=detail
        )
    is_pinned, detail = demand.is_pinned, NO_DETAIL
    reason = Reason.ASKED_NODE_SILENT if is_pinned else Reason.HOME_SILENT
    if demand.node in free.nodes:
        reason = Reason.ASKED_NODE_WITHOUT_WORKERS if is_pinned else Reason.HOME_WITHOUT_WORKERS
        detail = Detail(lane=demand.lane)
    return Verdict(
        gate="report", passed=False, reason=reason, where=demand.node, need=1, unit="nodes", detail=detail
    )


def hold(demand: Demand, free: Free) -> list[Verdict]:
    """The operator's word on the lane and on the whole, and the conductor's own."""
    controls = free.snapshot.controls
    stopped: list[Verdict] = []
    if controls.hold:
        detail = Detail(words=controls.hold)
        stopped.append(Verdict(gate="hold", passed=False, reason=Reason.HELD_BACK, detail=detail))
    if controls.is_draining:
        stopped.append(Verdict(gate="hold", passed=False, reason=Reason.DRAINING))
    is_paused = demand.lane in controls.paused_lanes
    reason = Reason.LANE_PAUSED if is_paused else OPEN
    return [*stopped, Verdict(gate="hold", passed=not is_paused, reason=reason, where=demand.lane)]


def backlog_closed(job_class: JobClass, free: Free) -> list[Verdict]:
    """Its backlog is paused; its lane, backlog, or both may not start anything at this time of the day."""
    backlog, paused = job_class.backlog, list[Verdict]()
    if backlog in free.snapshot.controls.paused_backlogs:
        paused.append(Verdict(gate="hold", passed=False, reason=Reason.BACKLOG_PAUSED, where=backlog))
    outside = ((job_class.lane, Reason.LANE_OUTSIDE_HOURS), (job_class.backlog, Reason.BACKLOG_OUTSIDE_HOURS))
    return paused + [
        Verdict(gate="hold", passed=False, reason=reason, where=name, reopens_at=at)
        for name, reason in outside
        if (at := free.snapshot.outside_hours.get(name)) is not None
    ]


def after(waits_for: Sequence[str]) -> Verdict:
    """Of a job that waits for others; such a job is in no class, so the decision never sees it."""
    reason = Reason.COMES_AFTER if waits_for else OPEN
    return Verdict(gate="after", passed=not waits_for, reason=reason, need=len(waits_for), unit="jobs",
                   holders=tuple(waits_for))  # fmt: skip


# ── gates of a node ───────────────────────────────────────────────────────────────────────────────────────


def node_hold(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
    """A node that drains, a device that is quarantined, and what node-side gates have closed."""
    closed = [
        v for d in usable_devices(demand, node) if d.why_not and not d.is_obstructed for v in _closed(d, node)
    ]
    missing = [q.missing for q in node.queues.get(demand.lane, ()) if q.missing]
    if node.is_draining:
        is_home = demand.node == node.name and not demand.is_pinned
        reason = Reason.HOME_DRAINING if is_home else Reason.NODE_DRAINING
        closed.insert(0, Verdict(gate="hold", passed=False, reason=reason, where=node.name))
    for key in missing:
        closed.append(
            Verdict(gate="hold", passed=False, reason=Reason.DEVICE_MISSING, where=f"{node.name}/{key}")
        )
    return [*closed, *_obstacles(demand, node)]


def _closed(device: DeviceFree, node: NodeFree) -> list[Verdict]:
    """By the operator, by its node, or by both: who resumes it is told what else is in the way."""
    why: list[tuple[Reason, Detail]] = []
    if device.closed_by is Reason.DEVICE_PAUSED:
        why.append((Reason.DEVICE_PAUSED, NO_DETAIL))
    if device.quarantined:
        why.append((Reason.DEVICE_QUARANTINED, Detail(words=device.quarantined)))
    where = f"{node.name}/{device.key}"
    return [
        Verdict(gate="hold", passed=False, reason=reason, where=where, detail=detail)
        for reason, detail in why
    ]


def _obstacles(demand: Demand, node: NodeFree) -> list[Verdict]:
    """What the host says of itself, or of its devices, whatever node-side gate found it."""
    found = [(node.name, obstacle) for obstacle in node.obstacles]
    found += [
        (f"{node.name}/{d.key}", obstacle) for d in usable_devices(demand, node) for obstacle in d.obstacles
    ]
    return [
        Verdict(gate="hold", passed=False, reason=Reason.OBSTRUCTED, where=where, have=obstacle.figure,
                limit=obstacle.opens_at, unit=obstacle.unit,
                detail=Detail(obstacle=obstacle.gate, words=obstacle.words))
        for where, obstacle in found
    ]  # fmt: skip


def mount(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
    """Is every root it writes to declared here, there, and writable."""
    verdicts: list[Verdict] = []
    for root, _ in demand.disk:
        where, disk = f"{node.name}/{root}", node.disks.get(root)
        if disk is None:
            verdicts.append(Verdict(gate="mount", passed=False, reason=Reason.ROOT_UNDECLARED, where=where))
        elif disk.volume.fault:
            detail = Detail(words=disk.volume.fault)
            verdicts.append(
                Verdict(gate="mount", passed=False, reason=Reason.ROOT_FAULTY, where=where, detail=detail)
            )
        else:
            passed = disk.volume.is_writable
            reason = OPEN if passed else Reason.ROOT_READ_ONLY
            verdicts.append(Verdict(gate="mount", passed=passed, reason=reason, where=where))
    return verdicts


# ── which are asked, and on what their answer depends ─────────────────────────────────────────────────────


#: The part of a request that a gate's answer depends on, beyond where it may go (`Demand.where`): classes
#: that agree in both share the answer.
Part = Callable[[Demand], Hashable]

CLASS_GATES: tuple[tuple[Callable[[Demand, Free], list[Verdict]], Part], ...] = (
    (report, lambda demand: None),
    (hold, lambda demand: None),
    (counter, lambda demand: demand.of_cluster),
    (rate, lambda demand: tuple((key, need.requests, need.tokens) for key, need in demand.rates)),
)


def amount_of(name: Gate) -> Callable[[Demand], int]:
    return lambda demand: demand.amount(name)


RESOURCE_GATES: dict[Gate, NodeGate] = {row.name: of_resource(row) for row in NODE}

NODE_GATES: tuple[tuple[NodeGate, Part], ...] = (
    (node_hold, lambda demand: demand.vram_mib > 0),
    (mount, lambda demand: demand.disk),
    (lane, lambda demand: None),
    (vram, lambda demand: demand.vram_mib),
    (scratch, lambda demand: demand.disk),
    (node_counter, lambda demand: (demand.counts, demand.vram_mib > 0)),
    *((gate, amount_of(name)) for name, gate in RESOURCE_GATES.items()),
)
