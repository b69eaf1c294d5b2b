"""The gates of amounts: is there enough of a resource at one place, and which jobs hold the rest.

One function answers for all of them, about a pool: VRAM of each device, a disk of each root, the amounts of a
node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from conductor.core.capacity.cluster import DeviceFree, DiskFree, Free, NodeFree, Pool
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import Resource
from conductor.core.placement.place import asks_vram, unserved_devices, usable_devices
from conductor.model.decision import Gate, Verdict
from conductor.model.reason import CROWDED_OUT, NO_DETAIL, NO_ROOM, OPEN, TOO_LARGE, Detail, Reason
from conductor.model.snapshot import Reservation

NodeGate = Callable[[Demand, NodeFree, Free], list[Verdict]]

#: Foreign use below a twentieth of the device (a desktop's windows) is not worth a word unless it decides.
FOREIGN_SHARE = 20
#: Answers of one device that are kept from tick to tick.
MOST_SAID = 1000


# ── video memory ──────────────────────────────────────────────────────────────────────────────────────────


def vram(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
    """Does a device fit it; for several devices at once: do enough of them."""
    queues = node.queues.get(demand.lane, ())
    if not demand.vram_mib:
        return []
    if not any(asks_vram(queue, demand) for queue in queues):
        return [
            Verdict(
                gate="vram",
                passed=True,
                reason=Reason.RUNS_ON_CPU,
                where=node.name,
                need=demand.vram_mib,
                unit="MiB",
            )
        ]
    devices = usable_devices(demand, node)
    verdicts = [_device_vram(demand, d, node, free) for d in devices]
    verdicts += [_unserved(demand, d, node) for d in unserved_devices(demand, node)]
    if demand.devices == 1 and devices:
        return verdicts
    return [*verdicts, _together(demand, node, devices, fitting=sum(v.passed for v in verdicts))]


def _unserved(demand: Demand, device: DeviceFree, node: NodeFree) -> Verdict:
    pool = device.vram
    detail = Detail(others=pool.foreign) if pool.free < demand.vram_mib else NO_DETAIL
    where, have = f"{node.name}/{device.key}", max(0, pool.free)
    return Verdict(gate="vram", passed=False, reason=Reason.DEVICE_UNSERVED, where=where,
                   need=demand.vram_mib, have=have, limit=pool.limit, unit="MiB", detail=detail)  # fmt: skip


def _together(demand: Demand, node: NodeFree, devices: Sequence[DeviceFree], fitting: int) -> Verdict:
    """Do enough of the devices fit it at once."""
    capable = sum(d.vram.limit >= demand.vram_mib for d in devices)
    has_slices = demand.devices > 1 and len(devices) < len(node.devices)
    if fitting >= demand.devices:
        reason, detail = OPEN, NO_DETAIL
    elif not devices:
        reason, detail = Reason.NO_DEVICE, Detail(has_slices=has_slices)
    elif capable < demand.devices:
        reason, detail = Reason.TOO_FEW_LARGE, Detail(capable=capable)
    else:
        reason, detail = Reason.TOO_FEW_FREE, Detail(has_slices=has_slices)
    return Verdict(gate="vram", passed=reason is OPEN, reason=reason, where=node.name, need=demand.devices,
                   have=fitting, limit=len(devices), unit="devices", detail=detail)  # fmt: skip


def _device_vram(demand: Demand, device: DeviceFree, node: NodeFree, free: Free) -> Verdict:
    said = (free.told.get(device.vram) or _told(device.vram, node, device.key, free)).said
    known = said.get(demand.vram_mib)
    if known is None:
        known = said[demand.vram_mib] = _asked_of_device(demand, device, node, free)
    return known


def _asked_of_device(demand: Demand, device: DeviceFree, node: NodeFree, free: Free) -> Verdict:
    pool, need = device.vram, demand.vram_mib
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
    """What one device has answered, by the MiB that were asked for. The answers hold as long as the device
    has the same amounts and the same holders."""

    __slots__ = ("said", "state")

    def __init__(self, state: tuple[object, ...]) -> None:
        self.state = state
        self.said: dict[int, Verdict] = {}


def _told(pool: Pool, node: NodeFree, key: str, free: Free) -> DeviceAnswers:
    """Ask it once, after the last admission. What it said in the tick before is said again where nothing of
    it changed.
    """
    where = (node.name, key)
    holding = free.reservations.holding(node.name, f"vram {key}", _on_device(key))
    state = (pool.free, pool.limit, pool.foreign, holding)
    told: DeviceAnswers | None = free.told_before.get(where)
    if told is None or told.state != state or len(told.said) > MOST_SAID:
        told = DeviceAnswers(state)
    free.told[pool] = free.telling[where] = told
    return told


# ── what a node has for all ───────────────────────────────────────────────────────────────────────────────


def of_resource(row: Resource) -> NodeGate:
    """The gate of one resource of nodes."""

    def gate(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
        need, pool = demand.amount(row.name), node.amounts[row.name]
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


# ── disks ─────────────────────────────────────────────────────────────────────────────────────────────────


def scratch(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
    """Can its files land, on every disk it writes to. Disks that are not there are the mount gate's to
    name.
    """
    verdicts: list[Verdict] = []
    asked = _asked_of_pools(demand, node)
    for root, need in demand.disk:
        disk, where = node.disks.get(root), f"{node.name}/{root}"
        if disk is not None and (closed := _closed_disk(demand, disk, where, need)) is not None:
            verdicts.append(closed)
            if disk.pool is None or disk.pool.free >= need:
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


def _closed_disk(demand: Demand, disk: DiskFree, where: str, need: int) -> Verdict | None:
    opens_at, free = disk.volume.opens_at_bytes, disk.volume.free_bytes or 0
    if opens_at is None or demand.has_begun:
        return None
    detail = Detail(headroom=disk.headroom)
    return Verdict(gate="scratch", passed=False, reason=Reason.DISK_CLOSED, where=where, need=need, have=free,
                   limit=opens_at, unit="bytes", detail=detail)  # fmt: skip


def _asked_of_pools(demand: Demand, node: NodeFree) -> dict[Pool, int]:
    """What the attempt puts on each file system: several roots may lie on one."""
    asked: dict[Pool, int] = {}
    for root, need in demand.disk:
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None:
            asked[disk.pool] = asked.get(disk.pool, 0) + need
    return asked


# ── of any pool ───────────────────────────────────────────────────────────────────────────────────────────


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
