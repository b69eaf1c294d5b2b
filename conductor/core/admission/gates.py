"""The gates: each a small function that answers with numbers, per place. Asked of every class that is held.

A gate of a node looks at one node that has workers of the lane; a gate of the class looks at none. A refusal
is data: need, have, limit, who holds it, when it could open, and whether it ever can.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache

from conductor.core.admission.counter_gates import counter, node_counter
from conductor.core.admission.lane_gate import lane
from conductor.core.admission.rate_gate import rate
from conductor.core.capacity.cluster import DeviceFree, DiskFree, Free, NodeFree, Pool
from conductor.core.capacity.request import Ask
from conductor.core.capacity.resources import NODE, Resource
from conductor.core.placement.place import asks_vram, usable_devices
from conductor.model.decision import Gate, Verdict
from conductor.model.reason import CROWDED_OUT, NO_DETAIL, NO_ROOM, OPEN, TOO_LARGE, Detail, Reason
from conductor.model.snapshot import JobClass, Reservation

#: Foreign use below a twentieth of the device (a desktop's windows) is not worth a word unless it decides.
FOREIGN_SHARE = 20
#: Answers of one device that are kept from tick to tick.
MOST_SAID = 1000


# ── gates of the class ────────────────────────────────────────────────────────────────────────────────────


def report(ask: Ask, free: Free) -> list[Verdict]:
    """Does a live node have workers of this lane; of a job whose files lie on one node: that one. Stale nodes
    are named one by one."""
    able = [n for n in free.nodes.values() if n.queues.get(ask.lane) and ask.node in (None, n.name)]
    stale = [
        Verdict(gate="report", passed=False, reason=Reason.STALE_REPORT, where=n.name, have=n.age_s,
                limit=free.limits.report_ttl_s, unit="s")
        for n in able if n.is_stale
    ]  # fmt: skip
    if not able:
        return [_nobody(ask, free)]
    fresh = len(able) - len(stale)
    reason = OPEN if fresh else Reason.NO_FRESH_REPORT
    return [
        *stale,
        Verdict(
            gate="report", passed=fresh > 0, reason=reason, need=1, have=fresh, limit=len(able), unit="nodes"
        ),
    ]


def _nobody(ask: Ask, free: Free) -> Verdict:
    """No node that may run it has workers of its lane."""
    if not free.nodes:
        return Verdict(gate="report", passed=False, reason=Reason.NO_NODE, need=1, unit="nodes")
    for n in free.nodes.values():
        if ask.node in (None, n.name) and not n.is_stale and (dying := n.dying.get(ask.lane)):
            detail = Detail(queue=dying.queue, words=dying.dying)
            return Verdict(gate="report", passed=False, reason=Reason.WORKERS_DYING, where=n.name, need=1,
                           unit="nodes", detail=detail)  # fmt: skip
    if ask.node is None:
        detail = Detail(lane=ask.lane)
        return Verdict(
            gate="report", passed=False, reason=Reason.NO_WORKERS, need=1, unit="workers", detail=detail
        )
    reason, detail = Reason.HOME_SILENT, NO_DETAIL
    if ask.node in free.nodes:
        reason, detail = Reason.HOME_WITHOUT_WORKERS, Detail(lane=ask.lane)
    return Verdict(
        gate="report", passed=False, reason=reason, where=ask.node, need=1, unit="nodes", detail=detail
    )


def hold(ask: Ask, free: Free) -> list[Verdict]:
    """The operator's word on the lane and on the whole, and the conductor's own."""
    controls = free.snapshot.controls
    stopped: list[Verdict] = []
    if controls.hold:
        detail = Detail(words=controls.hold)
        stopped.append(Verdict(gate="hold", passed=False, reason=Reason.HELD_BACK, detail=detail))
    if controls.is_draining:
        stopped.append(Verdict(gate="hold", passed=False, reason=Reason.DRAINING))
    is_paused = ask.lane in controls.paused_lanes
    reason = Reason.LANE_PAUSED if is_paused else OPEN
    return [*stopped, Verdict(gate="hold", passed=not is_paused, reason=reason, where=ask.lane)]


def outside_hours(job_class: JobClass, free: Free) -> Verdict | None:
    """Its lane, or its backlog, may not start anything at this time of the day; None where it may."""
    outside = ((job_class.lane, Reason.LANE_OUTSIDE_HOURS), (job_class.backlog, Reason.BACKLOG_OUTSIDE_HOURS))
    for name, reason in outside:
        if (at := free.snapshot.shut.get(name)) is not None:
            return Verdict(gate="hold", passed=False, reason=reason, where=name, reopens_at=at)
    return None


def after(waits_for: Sequence[str]) -> Verdict:
    """Of a job that waits for others; such a job is in no class, so the decision never sees it."""
    reason = Reason.COMES_AFTER if waits_for else OPEN
    return Verdict(gate="after", passed=not waits_for, reason=reason, need=len(waits_for), unit="jobs",
                   holders=tuple(waits_for))  # fmt: skip


# ── gates of a node ───────────────────────────────────────────────────────────────────────────────────────


def node_hold(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """A node that drains, a device that is quarantined, and what node-side gates have shut."""
    shut = [_shut(d, node) for d in usable_devices(ask, node) if d.why_not and not d.is_obstructed]
    missing = [q.missing for q in node.queues.get(ask.lane, ()) if q.missing]
    if node.is_draining:
        shut.insert(0, Verdict(gate="hold", passed=False, reason=Reason.NODE_DRAINING, where=node.name))
    for key in missing:
        shut.append(
            Verdict(gate="hold", passed=False, reason=Reason.DEVICE_MISSING, where=f"{node.name}/{key}")
        )
    return [*shut, *_obstacles(ask, node)]


def _shut(device: DeviceFree, node: NodeFree) -> Verdict:
    reason, detail = Reason.DEVICE_QUARANTINED, Detail(words=device.why_not or "")
    if device.shut_by is Reason.DEVICE_PAUSED:
        reason, detail = Reason.DEVICE_PAUSED, NO_DETAIL
    return Verdict(gate="hold", passed=False, reason=reason, where=f"{node.name}/{device.key}", detail=detail)


def _obstacles(ask: Ask, node: NodeFree) -> list[Verdict]:
    """What the host says of itself, or of its devices, whatever node-side gate found it."""
    found = [(node.name, obstacle) for obstacle in node.obstacles]
    found += [
        (f"{node.name}/{d.key}", obstacle) for d in usable_devices(ask, node) for obstacle in d.obstacles
    ]
    return [
        Verdict(gate="hold", passed=False, reason=Reason.OBSTRUCTED, where=where, have=obstacle.figure,
                limit=obstacle.opens_at, unit=obstacle.unit,
                detail=Detail(obstacle=obstacle.gate, words=obstacle.words))
        for where, obstacle in found
    ]  # fmt: skip


def mount(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Is every root it writes to declared here, there, and writable."""
    verdicts: list[Verdict] = []
    for root, _ in ask.disk:
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


def vram(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Does a device fit it; for several devices at once: do enough of them."""
    queues = node.queues.get(ask.lane, ())
    if not ask.vram_mib:
        return []
    if not any(asks_vram(queue, ask) for queue in queues):
        return [
            Verdict(
                gate="vram",
                passed=True,
                reason=Reason.RUNS_ON_CPU,
                where=node.name,
                need=ask.vram_mib,
                unit="MiB",
            )
        ]
    devices = usable_devices(ask, node)
    verdicts = [_device_vram(ask, d, node, free) for d in devices]
    if ask.devices == 1 and devices:
        return verdicts
    return [*verdicts, _together(ask, node, devices, fitting=sum(v.passed for v in verdicts))]


def _together(ask: Ask, node: NodeFree, devices: Sequence[DeviceFree], fitting: int) -> Verdict:
    """Do enough of the devices fit it at once."""
    capable = sum(d.vram.limit >= ask.vram_mib for d in devices)
    has_slices = ask.devices > 1 and len(devices) < len(node.devices)
    if fitting >= ask.devices:
        reason, detail = OPEN, NO_DETAIL
    elif not devices:
        reason, detail = Reason.NO_DEVICE, Detail(has_slices=has_slices)
    elif capable < ask.devices:
        reason, detail = Reason.TOO_FEW_LARGE, Detail(capable=capable)
    else:
        reason, detail = Reason.TOO_FEW_FREE, Detail(has_slices=has_slices)
    return Verdict(gate="vram", passed=reason is OPEN, reason=reason, where=node.name, need=ask.devices,
                   have=fitting, limit=len(devices), unit="devices", detail=detail)  # fmt: skip


def _device_vram(ask: Ask, device: DeviceFree, node: NodeFree, free: Free) -> Verdict:
    said = _told(device.vram, node, device.key, free).said
    known = said.get(ask.vram_mib)
    if known is None:
        known = said[ask.vram_mib] = _asked_of_device(ask, device, node, free)
    return known


def _asked_of_device(ask: Ask, device: DeviceFree, node: NodeFree, free: Free) -> Verdict:
    pool, need = device.vram, ask.vram_mib
    is_decisive = need <= pool.free + pool.foreign
    detail = NO_DETAIL
    if need > pool.limit:
        is_unsized = not device.total_mib and device.why_not is not None
        words = device.why_not or "" if is_unsized else ""
        detail = Detail(total=device.total_mib, is_declared=device.is_declared, words=words)
    elif (
        need > pool.free
        and pool.foreign
        and (is_decisive or pool.foreign * FOREIGN_SHARE >= device.total_mib)
    ):
        detail = Detail(others=pool.foreign)
    return _pool_verdict("vram", node, device.key, pool, need, "MiB", _on_device(device.key), free, detail)


@cache
def _on_device(key: str) -> Callable[[Reservation], int]:
    def held(r: Reservation) -> int:
        return r.vram_mib if key in r.devices else 0

    return held


class DeviceAnswers:
    """What one device has said, by what was asked of it; true as long as neither it nor who holds it is
    another.
    """

    __slots__ = ("said", "state")

    def __init__(self, state: tuple[object, ...]) -> None:
        self.state = state
        self.said: dict[int, Verdict] = {}


def _told(pool: Pool, node: NodeFree, key: str, free: Free) -> DeviceAnswers:
    """Ask it after the last admission. What it said in the tick before is said again where nothing of it
    changed.
    """
    told: DeviceAnswers | None = free.told.get(pool)
    if told is None:
        where, holding = (
            (node.name, key),
            free.reservations.holding(node.name, f"vram {key}", _on_device(key)),
        )
        state = (pool.free, pool.limit, pool.foreign, holding)
        told = free.told_before.get(where)
        if told is None or told.state != state or len(told.said) > MOST_SAID:
            told = DeviceAnswers(state)
        free.told[pool] = free.telling[where] = told
    return told


def of_resource(row: Resource) -> NodeGate:
    """The gate of one resource of nodes."""

    def gate(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
        need, pool = ask.amount(row.name), node.amounts[row.name]
        if not need:
            return []
        if pool is None:
            return [
                Verdict(
                    gate=row.name,
                    passed=False,
                    reason=Reason.NOT_READABLE,
                    where=node.name,
                    unit=row.unit,
                    need=need if row.scale == 1 else need / row.scale,
                )
            ]
        return [_pool_verdict(row.name, node, "", pool, need, row.unit, row.held, free, scale=row.scale)]

    return gate


def scratch(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Can its files land, on every disk it writes to. Disks that are not there are the mount gate's to
    name.
    """
    verdicts: list[Verdict] = []
    asked = _asked_of_pools(ask, node)
    for root, need in ask.disk:
        disk, where = node.disks.get(root), f"{node.name}/{root}"
        if disk is not None and (closed := _closed_disk(ask, disk, where, need)) is not None:
            verdicts.append(closed)
            continue
        if not need or disk is None:
            continue
        if disk.pool is None:
            verdicts.append(
                Verdict(
                    gate="scratch",
                    passed=False,
                    reason=Reason.NOT_READABLE,
                    where=where,
                    need=need,
                    unit="bytes",
                )
            )
            continue
        need = asked[disk.pool]
        sharing = [other for other, its in node.disks.items() if its.pool is disk.pool]
        detail = Detail(total=disk.total, headroom=disk.headroom) if need > disk.pool.limit else NO_DETAIL

        def held(r: Reservation, sharing: Sequence[str] = sharing) -> int:
            return sum(r.disk.get(other, 0) for other in sharing)

        verdicts.append(_pool_verdict("scratch", node, root, disk.pool, need, "bytes", held, free, detail))
    return verdicts


def _closed_disk(ask: Ask, disk: DiskFree, where: str, need: int) -> Verdict | None:
    opens_at, free = disk.volume.opens_at_bytes, disk.volume.free_bytes or 0
    if opens_at is None or ask.has_begun:
        return None
    detail = Detail(headroom=disk.headroom)
    return Verdict(gate="scratch", passed=False, reason=Reason.DISK_CLOSED, where=where, need=need, have=free,
                   limit=opens_at, unit="bytes", detail=detail)  # fmt: skip


def _asked_of_pools(ask: Ask, node: NodeFree) -> dict[Pool, int]:
    """What the attempt puts on each file system: several roots may lie on one."""
    asked: dict[Pool, int] = {}
    for root, need in ask.disk:
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None:
            asked[disk.pool] = asked.get(disk.pool, 0) + need
    return asked


def _pool_verdict(
    gate: Gate,
    node: NodeFree,
    part: str,
    pool: Pool,
    need: int,
    unit: str,
    held: Callable[[Reservation], int],
    free: Free,
    detail: Detail = NO_DETAIL,
    scale: int = 1,
) -> Verdict:
    """`part`: the device or root, empty for the node's own; `held`: what a reservation has of it; `detail`:
    what is known beyond the pool."""
    where = f"{node.name}/{part}" if part else node.name
    have, limit = max(0, pool.free), pool.limit
    if pool.free >= need:
        return Verdict(gate=gate, passed=True, reason=OPEN, where=where, need=need / scale, have=have / scale,
                       limit=limit / scale, unit=unit)  # fmt: skip
    reason = NO_ROOM
    if need > limit:
        reason = TOO_LARGE
    elif gate != "scratch" and not pool.reserved:
        # Files are ours for the most part, whoever is asked; of memory nothing is when no attempt holds any.
        reason, detail = CROWDED_OUT, Detail(others=pool.foreign)
    elif not detail.others and need > limit - pool.foreign:
        # Were all of ours over, it would not fit yet.
        detail = Detail(others=pool.foreign / scale)
    holding = free.reservations.holding(node.name, f"{gate} {part}", held)
    return Verdict(
        gate=gate,
        passed=False,
        reason=reason,
        where=where,
        need=need / scale,
        have=have / scale,
        limit=limit / scale,
        unit=unit,
        holders=holding.ids,
        reopens_at=None if reason is TOO_LARGE else holding.enough_at(need - pool.free),
        detail=detail,
    )


# ── which are asked, and on what their answer depends ─────────────────────────────────────────────────────


NodeGate = Callable[[Ask, NodeFree, Free], list[Verdict]]
#: The part of a request that a gate's answer depends on, beyond where it may go (`Ask.where`): classes that
#: agree in both share the answer.
Part = Callable[[Ask], Hashable]

CLASS_GATES: tuple[tuple[Callable[[Ask, Free], list[Verdict]], Part], ...] = (
    (report, lambda ask: None),
    (hold, lambda ask: None),
    (counter, lambda ask: ask.of_cluster),
    (rate, lambda ask: tuple((key, need.requests, need.tokens) for key, need in ask.rates)),
)


def amount_of(name: Gate) -> Callable[[Ask], int]:
    return lambda ask: ask.amount(name)


RESOURCE_GATES: dict[Gate, NodeGate] = {row.name: of_resource(row) for row in NODE}

NODE_GATES: tuple[tuple[NodeGate, Part], ...] = (
    (node_hold, lambda ask: ask.vram_mib > 0),
    (mount, lambda ask: ask.disk),
    (lane, lambda ask: None),
    (vram, lambda ask: ask.vram_mib),
    (scratch, lambda ask: ask.disk),
    (node_counter, lambda ask: (ask.counts, ask.vram_mib > 0)),
    *((gate, amount_of(name)) for name, gate in RESOURCE_GATES.items()),
)
