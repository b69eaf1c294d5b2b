"""What is left to give, per place: built once a tick from the snapshot, reduced by every admission of that tick.

One formula for VRAM, RAM and disks: `free = limit − reserved − foreign`, where `limit` is the capacity less the
headroom and `foreign` is what is measured as used beyond what the reservations are known to have taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from conductor.core.ask import SCRATCH_ROOT
from conductor.model.files import Landed
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.report import Device, NodeReport, QueueReport, Volume
from conductor.model.snapshot import RateState, Reservation, Snapshot, cost_of
from conductor.model.spec import LANES, Lane

#: How long a look at the disks may have taken.
MEASURED_S = 0.5


class Pool:
    """One amount that is shared out: a device's VRAM, a node's RAM or cores, a disk."""

    __slots__ = ("beyond", "foreign", "free", "limit", "reserved", "taken", "used")

    def __init__(self, limit: int, used: int | None) -> None:
        self.limit = limit
        #: Used by anyone, as measured; None where it cannot be read.
        self.used = used
        self.reserved = 0
        #: What the reservations are known to use of it already.
        self.taken = 0
        #: What they use beyond what was reserved, and what came since it was measured.
        self.beyond = 0
        self.foreign = 0
        self.free = limit

    def settle(self) -> None:
        """After the last reservation was added: what others use, and what is left."""
        if self.used is not None:
            self.foreign = max(0, self.used - self.taken) + self.beyond
        self.free = self.limit - self.reserved - self.foreign

    def take(self, amount: int) -> None:
        self.reserved += amount
        self.free -= amount

    def fill(self, amount: int) -> None:
        """Taken by what no reservation holds: files that stay. Negative: they went."""
        self.foreign += amount
        self.free -= amount

    @property
    def ceiling(self) -> int:
        """What the sum of reservations may reach here: re-checked in the step that hands over."""
        return self.reserved + max(0, self.free)


class DeviceFree:
    __slots__ = ("index", "key", "ours", "total_mib", "vram", "why_not")

    def __init__(self, device: Device, headroom_mib: int) -> None:
        self.key = device.key
        self.index = device.index
        self.total_mib = device.vram_total_mib
        #: Why nothing is placed here, or None.
        self.why_not = device.quarantined
        self.vram = Pool(max(0, device.vram_total_mib - headroom_mib), device.vram_used_mib)
        #: Worker → MiB; None: not told. Not foreign, and free where no reservation covers it: what a worker keeps warm
        #: between jobs gives way to the next attempt on the device (`workers.room`).
        self.ours = device.ours
        if device.ours is not None:
            self.vram.taken = sum(device.ours.values())


class DiskFree:
    __slots__ = ("headroom", "pool", "total", "volume")

    def __init__(self, volume: Volume, headroom: int) -> None:
        self.volume = volume
        self.headroom = headroom
        #: None where the free space cannot be read: unknown is not plenty.
        self.pool: Pool | None = None
        self.total = 0
        if volume.free_bytes is not None:
            self.total = volume.free_bytes if volume.total_bytes is None else volume.total_bytes
            self.pool = Pool(max(0, self.total - headroom), max(0, self.total - volume.free_bytes))


def _share_file_systems(disks: Iterable[DiskFree]) -> None:
    """Roots on one file system draw on one pool, with the largest of their headrooms."""
    pools: dict[str, Pool] = {}
    for disk in disks:
        if disk.pool is not None and (mark := disk.volume.filesystem) is not None:
            pool = pools.setdefault(mark, disk.pool)
            pool.limit = min(pool.limit, disk.pool.limit)
            disk.pool = pool


class QueueFree:
    """One RQ queue of a node: how deep it is, and whether a worker of it has nothing to do."""

    __slots__ = (
        *("active", "depth", "device", "is_open", "lane", "missing", "name", "node", "queued", "warm", "workers"),
    )

    def __init__(self, report: QueueReport, node: NodeFree, depth: int, queued: int) -> None:
        self.name = report.queue
        self.node = node
        self.lane: Lane = report.lane
        self.device = node.devices.get(report.device) if report.device else None
        #: The device its workers are bound to, where the driver no longer shows it.
        self.missing = report.device if self.device is None else None
        self.depth = depth
        self.queued = queued
        self.workers = report.workers
        self.warm = report.warm
        #: Admitted and running.
        self.active = 0
        #: False: paused, draining, quarantined, stale. Nothing is placed here, however much is free.
        self.is_open = node.is_open and not (self.missing or (self.device and self.device.why_not))

    @property
    def has_room(self) -> bool:
        return self.queued < self.depth

    @property
    def has_idle_worker(self) -> bool:
        return self.active < self.workers

    @property
    def where(self) -> str:
        return f"{self.node.name}/{self.device.key}" if self.device else self.node.name


class NodeFree:
    """One node's pools and queues. Nothing is placed on one that drains or whose report is stale."""

    __slots__ = ("age_s", "cpu", "devices", "disks", "is_draining", "is_stale", "name", "queues", "ram", "report")

    def __init__(self, report: NodeReport, snapshot: Snapshot, limits: Limits) -> None:
        self.report = report
        self.name = report.node
        self.age_s = snapshot.now - report.sent_at
        self.is_stale = self.age_s > limits.report_ttl_s
        self.is_draining = report.is_draining or self.name in snapshot.controls.draining_nodes
        self.devices = {d.key: DeviceFree(d, limits.vram_headroom_mib) for d in report.devices}
        for place in snapshot.controls.paused_devices:
            name, _, key = place.partition("/")
            if name == self.name and key in self.devices:
                self.devices[key].why_not = f"by the operator, until `conductor resume {place}`"
        self.disks = {v.root: DiskFree(v, limits.disk_headroom(v.root)) for v in report.volumes}
        _share_file_systems(self.disks.values())
        self.ram = _ram_pool(report, limits.ram_headroom_mib)
        self.cpu = Pool(round(report.cpu_count * limits.cpu_share * 1000), None)
        self.queues: dict[Lane, list[QueueFree]] = {}
        for queue in report.queues:
            if queue.workers:
                depth = snapshot.deep.get(queue.queue, limits.depth.get(queue.lane, 1))
                queued = snapshot.queued.get(queue.queue, 0)
                self.queues.setdefault(queue.lane, []).append(QueueFree(queue, self, depth, queued))

    @property
    def is_open(self) -> bool:
        return not self.is_stale and not self.is_draining

    @property
    def vram_free_mib(self) -> int:
        return sum(device.vram.free for device in self.devices.values())

    def pools(self) -> Iterable[Pool]:
        yield self.cpu
        if self.ram is not None:
            yield self.ram
        for device in self.devices.values():
            yield device.vram
        for disk in self.disks.values():
            if disk.pool is not None:
                yield disk.pool  # Twice where it is shared: settling is a sum made anew.


def _ram_pool(report: NodeReport, headroom_mib: int) -> Pool | None:
    available = report.ram_available_mib
    total = available if report.ram_total_mib is None else report.ram_total_mib
    if total is None:
        return None
    return Pool(max(0, total - headroom_mib), None if available is None else max(0, total - available))


class RateFree:
    """One API's budget, less what this tick hands over. None: that budget has no known limit."""

    __slots__ = ("requests_left", "state", "tokens_left", "usd_left")

    def __init__(self, state: RateState) -> None:
        self.state = state
        self.requests_left = state.requests_left
        self.tokens_left = state.tokens_left
        self.usd_left = state.usd_left

    def usd_of(self, requests: int, tokens: int) -> float:
        return cost_of(self.state.usd_per_token, self.state.usd_per_call, requests, tokens)

    def take(self, requests: int, tokens: int) -> None:
        if self.requests_left is not None:
            self.requests_left -= requests
        if self.tokens_left is not None:
            self.tokens_left -= tokens
        if self.usd_left is not None:
            self.usd_left -= self.usd_of(requests, tokens)


class Holding(NamedTuple):
    """Who holds how much of one thing, the one expected to end first in front; and their ids."""

    rows: list[tuple[Reservation, int]]
    ids: tuple[str, ...]


class Free:
    """The whole of it. Mutable, and private to one call of `decide`."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.now = snapshot.now
        reports = sorted(snapshot.nodes, key=lambda report: report.node)
        self.nodes = {report.node: NodeFree(report, snapshot, limits) for report in reports}
        self.rates = {state.key: RateFree(state) for state in snapshot.rates}
        self.queues: dict[Lane, list[QueueFree]] = {lane: [] for lane in LANES}
        for node in self.nodes.values():
            for lane, queues in node.queues.items():
                self.queues[lane] += queues
        self._whole: tuple[int, int, int] | None = None
        self._by_name = {queue.name: queue for queues in self.queues.values() for queue in queues}
        self._on_node: dict[str, dict[str, Reservation]] = {}
        self._sorted: dict[str, list[Reservation]] = {}
        self._holding: dict[str, dict[str, Holding]] = {}
        for reservation in snapshot.reservations:
            self._charge(reservation)
        for fact in snapshot.landed:
            if (node := self.nodes.get(fact.node)) is not None:
                _add_landed(node, fact)
        for node in self.nodes.values():
            for pool in node.pools():
                pool.settle()

    @property
    def whole(self) -> tuple[int, int, int]:
        """(VRAM in MiB, milli-cores, RAM in MiB) of all nodes together, less the headrooms."""
        if self._whole is None:
            nodes = self.nodes.values()
            self._whole = (
                sum(d.vram.limit for node in nodes for d in node.devices.values()),
                sum(node.cpu.limit for node in nodes),
                sum(node.ram.limit for node in nodes if node.ram is not None),
            )
        return self._whole

    def _charge(self, reservation: Reservation) -> None:
        self._on_node.setdefault(reservation.node, {})[reservation.job_id] = reservation
        if (queue := self._by_name.get(reservation.queue)) is not None:
            queue.active += 1
        if (node := self.nodes.get(reservation.node)) is not None:
            _charge_node(node, reservation)

    def renew(self, snapshot: Snapshot) -> None:
        """For a keeper of the state: another time, other budgets of APIs, the same nodes."""
        self.snapshot = snapshot
        self.now = snapshot.now
        if snapshot.rates or self.rates:
            self.rates = {state.key: RateFree(state) for state in snapshot.rates}

    def add(self, reservation: Reservation) -> None:
        """One admitted in this tick, or brought up to date: its amounts are taken from the pools by the caller."""
        self._on_node.setdefault(reservation.node, {})[reservation.job_id] = reservation
        self._sorted.pop(reservation.node, None)
        self._holding.pop(reservation.node, None)

    def started(self, reservation: Reservation) -> NodeFree | None:
        """One that was admitted is no longer queued. Its node where its queue was full until now."""
        queue = self._by_name[reservation.queue]
        was_full = not queue.has_room
        queue.queued -= 1
        self.add(reservation)
        return queue.node if was_full else None

    def drop(self, reservation: Reservation) -> NodeFree:
        """One that ended gives back what it held. For a keeper of the state; a tick builds its own."""
        del self._on_node[reservation.node][reservation.job_id]
        self._sorted.pop(reservation.node, None)
        self._holding.pop(reservation.node, None)
        node = self.nodes[reservation.node]
        self._by_name[reservation.queue].active -= 1
        for pool, amount in held(node, reservation):
            pool.take(-amount)
        return node

    def held_on(self, node: str) -> list[Reservation]:
        """The reservations on a node, the one expected to end first in front."""
        known = self._sorted.get(node)
        if known is None:
            here = self._on_node.get(node, {}).values()
            known = self._sorted[node] = sorted(here, key=lambda r: (release_at(r, self.now), r.job_id))
        return known

    def holding(self, node: str, what: str, amount: Callable[[Reservation], int]) -> Holding:
        """Those on a node that hold some of `what` (`amount` says how much), the one expected to end first in front."""
        here = self._holding.setdefault(node, {})
        known = here.get(what)
        if known is None:
            rows = [(r, held) for r in self.held_on(node) if (held := amount(r))]
            known = here[what] = Holding(rows, tuple(r.job_id for r, _ in rows))
        return known

    def reservations(self) -> Iterable[Reservation]:
        for here in self._on_node.values():
            yield from here.values()


def held(node: NodeFree, r: Reservation) -> Iterable[tuple[Pool, int]]:
    """(pool, amount) of all that a reservation holds on its node."""
    for key in r.devices:
        if (device := node.devices.get(key)) is not None:
            yield device.vram, r.vram_mib
    if node.ram is not None and r.ram_mib:
        yield node.ram, r.ram_mib
    if r.cpu:
        yield node.cpu, round(r.cpu * 1000)
    for root, size in r.disk.items():
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None and size:
            yield disk.pool, size


def release_at(reservation: Reservation, now: float) -> float:
    """When it should end by its own estimate; infinity where it gave none. Overdue means: any moment now."""
    if reservation.expected_s <= 0:
        return float("inf")
    return max(now, (reservation.started_at or now) + reservation.expected_s)


def _charge_node(node: NodeFree, r: Reservation) -> None:
    usage = r.usage
    # A reading older than the attempt cannot contain what the attempt uses: then none of it counts as taken.
    is_measured = usage is not None and r.started_at is not None and r.started_at <= node.report.sent_at
    for key in r.devices:
        if (device := node.devices.get(key)) is not None:
            _charge_device(device, r, key, node.report.sent_at, usage if is_measured else None)
    if node.ram is not None:
        _charge_pool(node.ram, r.ram_mib, usage.rss_mib or 0 if usage and is_measured else 0)
    _charge_pool(node.cpu, round(r.cpu * 1000), 0)
    for root, size in r.disk.items():
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None:
            written = usage.scratch_bytes or 0 if usage and is_measured and root == SCRATCH_ROOT else 0
            _charge_pool(disk.pool, size, written)


def _charge_device(device: DeviceFree, r: Reservation, key: str, sent_at: float, usage: Usage | None) -> None:
    """Where the driver tells who holds what, an attempt's part was taken from what others use already."""
    if device.ours is None:
        taken = usage.vram_on.get(key, usage.vram_mib or 0) if usage else 0
        _charge_pool(device.vram, r.vram_mib, taken)
        return
    device.vram.reserved += r.vram_mib
    if r.worker and r.started_at is not None and r.started_at <= sent_at:
        # What it holds beyond its word is as gone as what a stranger holds.
        device.vram.beyond += max(0, device.ours.get(r.worker, 0) - r.vram_mib)


def _add_landed(node: NodeFree, fact: Landed) -> None:
    """A file that came after the disk was measured is in no reading and in no reservation."""
    disk = node.disks.get(fact.root)
    measured_at = node.report.sent_at - node.report.volumes_age_s
    if disk is not None and disk.pool is not None and fact.at >= measured_at - MEASURED_S:
        disk.pool.beyond += fact.bytes


def _charge_pool(pool: Pool, reserved: int, taken: int) -> None:
    pool.reserved += reserved
    pool.taken += min(reserved, taken)
