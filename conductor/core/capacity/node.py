"""What one node has to give: pools of its devices, disks, RAM and cores, and its queues, as its report says,
less what reservations hold.

One formula for VRAM, RAM and disks: `free = limit − reserved − foreign`, where `limit` is the capacity less
the headroom and `foreign` is what is measured as used beyond what the reservations are known to have taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.core.capacity.counters import keyed, pools_of
from conductor.core.capacity.request import SCRATCH_ROOT, Demand
from conductor.core.capacity.resources import NODE, TIE_BREAK, VRAM, Pool, Steps, held_of_node
from conductor.model.chains import RecentWrite
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.receipt import Usage
from conductor.model.report import Device, NodeReport, Obstacle, QueueReport, Volume
from conductor.model.snapshot import Reservation, Snapshot
from conductor.model.spec import Lane

#: How long a look at the disks may have taken.
MEASURED_S = 0.5
INFINITE = float("inf")
NOTHING: Mapping[str, Pool] = {}
#: Such a part of what a queue of short jobs may hold (150 ms of work) goes to one queue before the next one
#: gets its first: a worker begins and ends several in one turn, and a turn costs Redis and its host more than
#: most of them do.
BUNDLES = 4


class DeviceFree:
    __slots__ = (
        *("amounts", "index", "is_declared", "is_slice", "key", "obstacles", "ours", "quarantined"),
        *("closed_by", "total_mib", "uuid", "vram", "why_not"),
    )

    def __init__(self, device: Device, headroom_mib: int, obstacles: tuple[Obstacle, ...] = ()) -> None:
        self.key = device.key
        self.index = device.index
        self.uuid = device.uuid
        self.is_declared = device.is_declared
        self.is_slice = device.is_slice
        self.total_mib = device.vram_total_mib
        #: What node-side gates found here.
        self.obstacles = obstacles
        #: In the words of its node, whatever the operator says of it besides.
        self.quarantined = device.quarantined
        #: Why nothing is placed here, in words and as a reason; None: something is.
        self.why_not = device.quarantined or (obstacles[0].words if obstacles else None)
        self.closed_by = (
            Reason.DEVICE_QUARANTINED if device.quarantined else Reason.OBSTRUCTED if obstacles else None
        )
        self.vram = Pool(max(0, device.vram_total_mib - headroom_mib), device.vram_used_mib)
        #: Resource → what it has of it.
        self.amounts: dict[str, Pool | None] = {VRAM: self.vram}
        #: Worker → MiB; None: not told. It is not foreign, and is free where no reservation covers it. What a
        #: worker keeps warm between jobs gives way to the next attempt on the device
        #: (`workers.isolation.vram_claim`).
        self.ours = device.ours
        if device.ours is not None:
            self.vram.taken = sum(device.ours.values())

    @property
    def is_obstructed(self) -> bool:
        """A node-side gate alone keeps it closed."""
        return self.closed_by is Reason.OBSTRUCTED

    def pause(self) -> None:
        self.why_not, self.closed_by = "paused by the operator", Reason.DEVICE_PAUSED


class DiskFree:
    __slots__ = ("headroom", "pool", "sharing", "total", "volume")

    def __init__(self, volume: Volume, headroom: int) -> None:
        self.volume = volume
        #: The roots that draw on its pool, in order.
        self.sharing: tuple[str, ...] = (volume.root,)
        self.headroom = headroom
        #: None where the free space cannot be read: unknown is not plenty.
        self.pool: Pool | None = None
        self.total = 0
        if volume.free_bytes is not None:
            self.total = volume.free_bytes if volume.total_bytes is None else volume.total_bytes
            self.pool = Pool(max(0, self.total - headroom), max(0, self.total - volume.free_bytes))


def _share_file_systems(disks: Iterable[DiskFree]) -> None:
    """Roots on one file system draw on one pool, with the largest of their headrooms."""
    pools: dict[str, tuple[Pool, list[DiskFree]]] = {}
    for disk in disks:
        if disk.pool is not None and (mark := disk.volume.filesystem) is not None:
            pool, sharing = pools.setdefault(mark, (disk.pool, []))
            pool.limit = min(pool.limit, disk.pool.limit)
            disk.pool = pool
            sharing.append(disk)
    for _, sharing in pools.values():
        if len(sharing) > 1:
            roots = tuple(sorted(disk.volume.root for disk in sharing))
            for disk in sharing:
                disk.sharing = roots


class QueueFree:
    """One RQ queue of a node: how deep it is, and whether a worker of it has nothing to do."""

    __slots__ = (
        *(
            "active",
            "bundle",
            "depth",
            "device",
            "is_open",
            "lane",
            "missing",
            "name",
            "node",
            "number",
            "queued",
            "warm",
            "workers",
        ),
    )

    def __init__(self, report: QueueReport, node: NodeFree, depth: int, queued: int, bundle: int = 0) -> None:
        self.name = report.queue
        self.node = node
        #: Its place in `Free.queues`.
        self.number = 0
        self.lane: Lane = report.lane
        self.device = node.devices.get(report.device) if report.device else None
        #: The device its workers are bound to, where the driver no longer shows it.
        self.missing = report.device if self.device is None else None
        self.depth = depth
        self.queued = queued
        #: Of jobs that are over in milliseconds it is given so many before another queue is given its first.
        self.bundle = bundle
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
    def load(self) -> tuple[bool, float]:
        """The first part of the order in which queues are tried: begun bundles, idle workers, the least
        busy."""
        if 0 < self.active < self.bundle:
            return False, -1.0
        return self.active >= self.workers, self.active / self.workers

    @property
    def where(self) -> str:
        return f"{self.node.name}/{self.device.key}" if self.device else self.node.name


class NodeFree:
    """One node's pools and queues. Nothing is placed on one that drains or whose report is stale."""

    __slots__ = (
        *(
            "age_s",
            "amounts",
            "counted",
            "devices",
            "disks",
            "dying",
            "is_draining",
            "is_stale",
            "known",
            "name",
            "obstacles",
            "own",
            "queues",
            "report",
            "tie_break",
            "version",
        ),
    )

    def __init__(self, report: NodeReport, snapshot: Snapshot, limits: Limits) -> None:
        self.name = report.node
        #: Goes up with everything that comes, goes or is read.
        self.version = 0
        self.read(report, snapshot, limits)

    def read(self, report: NodeReport, snapshot: Snapshot, limits: Limits) -> None:
        """As its report says, nothing charged yet."""
        self.version += 1
        self.report = report
        self.age_s = snapshot.now - report.sent_at
        self.is_stale = self.age_s > limits.report_ttl_s
        self.is_draining = report.is_draining or self.name in snapshot.controls.draining_nodes
        of_device: dict[str, tuple[Obstacle, ...]] = {}
        for obstacle in report.obstacles:
            of_device[obstacle.device] = (*of_device.get(obstacle.device, ()), obstacle)
        #: What node-side gates found of the whole host.
        self.obstacles = of_device.get("", ())
        self.devices = {
            d.key: DeviceFree(d, limits.vram_headroom_mib, of_device.get(d.key, ())) for d in report.devices
        }
        for place in snapshot.controls.paused_devices:
            name, _, key = place.partition("/")
            if name == self.name and key in self.devices:
                self.devices[key].pause()
        self.disks = {v.root: DiskFree(v, limits.disk_headroom(v.root)) for v in report.volumes}
        _share_file_systems(self.disks.values())
        #: Resource → what it has of it; None: not known.
        self.amounts: dict[str, Pool | None] = {row.name: row.pool(report, limits) for row in NODE}
        #: The same in the order of `NODE`; of those the known ones, as they are charged; and the one that
        #: decides between equal places.
        self.own = list(self.amounts.values())
        self.known = [(row, pool) for row in NODE if (pool := self.amounts[row.name]) is not None]
        tie_break = self.amounts[NODE[TIE_BREAK].name]
        assert tie_break is not None, "how many cores there are is always told"
        self.tie_break = tie_break
        self.queues: dict[Lane, list[QueueFree]] = {}
        #: Lane → that of its queues whose workers keep dying at start.
        self.dying: dict[Lane, QueueReport] = {}
        #: Charge key → pool, of what is counted by name.
        self.counted: Mapping[str, Pool] = self._counters(limits) if limits.counters else NOTHING
        for queue in report.queues:
            if queue.dying:
                self.dying[queue.lane] = queue
            if queue.workers:
                deep = snapshot.deep.get(queue.queue)
                depth = limits.depth.get(queue.lane, 1) if deep is None else deep
                is_bundled = deep is not None and queue.device is None and report.single_jobs is None
                bundle = depth // BUNDLES
                # Less than two for each worker would save no turn.
                bundle = bundle if is_bundled and bundle >= 2 * queue.workers else 0
                queued = snapshot.queued.get(queue.queue, 0)
                self.queues.setdefault(queue.lane, []).append(QueueFree(queue, self, depth, queued, bundle))

    def _counters(self, limits: Limits) -> dict[str, Pool]:
        rules = limits.counters
        self.amounts |= pools_of(rules, "node", self.report.counters, self.age_s)
        found = dict(keyed(self.amounts, rules, self.name))
        for device in self.devices.values():
            device.amounts |= pools_of(rules, "device", {})
            found |= keyed(device.amounts, rules, f"{self.name}/{device.key}")
        return found

    @property
    def is_open(self) -> bool:
        return not (self.is_stale or self.is_draining or self.obstacles)

    def devices_for(self, demand: Demand) -> list[DeviceFree]:
        """Those that such a job may use, closed ones too: several slices of cards cannot be seen by one
        process.
        """
        return [device for device in self.devices.values() if demand.devices == 1 or not device.is_slice]

    @property
    def vram_free_mib(self) -> int:
        return sum([device.vram.free for device in self.devices.values()])

    def shape(self) -> tuple[object, ...]:
        """What the orders of placement are built on: its queues, and which of them are open."""
        return (
            self.is_stale,
            tuple(
                [
                    (q.name, q.lane, q.is_open, q.device and q.device.key)
                    for qs in self.queues.values()
                    for q in qs
                ]
            ),
        )

    def own_free(self) -> tuple[float, ...]:
        """Steps of each row of `NODE`; without end where it is not known."""
        return tuple([INFINITE if pool is None else pool.free for pool in self.own])

    def own_limits(self) -> tuple[float, ...]:
        """The same if nothing were held."""
        return tuple([INFINITE if pool is None else pool.limit for pool in self.own])

    def size(self) -> Steps:
        """All that it has, less the headrooms, in the order of `Free.whole`; 0 of what is not known."""
        own = [0 if pool is None else pool.limit for pool in self.own]
        return (sum([d.vram.limit for d in self.devices.values()]), *own)

    def sizes(self) -> tuple[object, ...]:
        """All that it could ever give."""
        disks = [(root, disk.pool.limit if disk.pool else -1) for root, disk in self.disks.items()]
        return (
            limits_of(self.amounts),
            disks,
            [(limits_of(device.amounts), device.is_slice) for device in self.devices.values()],
            [queue.missing for queues in self.queues.values() for queue in queues],
        )

    def pools(self) -> Iterable[Pool]:
        for amounts in (self.amounts, *[device.amounts for device in self.devices.values()]):
            for pool in amounts.values():
                if pool is not None:
                    yield pool
        for disk in self.disks.values():
            if disk.pool is not None:
                yield disk.pool  # Twice where it is shared: settling is a sum made anew.


def limits_of(amounts: Mapping[str, Pool | None]) -> tuple[int | None, ...]:
    return tuple([None if pool is None else pool.limit for pool in amounts.values()])


def held(node: NodeFree, r: Reservation) -> Iterable[tuple[Pool, int]]:
    """(pool, amount) of all that a reservation holds on its node."""
    yield from given_back(node, r)
    for root, amount in r.disk.items():
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None and amount:
            yield disk.pool, amount


def given_back(node: NodeFree, r: Reservation) -> Iterable[tuple[Pool, int]]:
    """The same without the disks: what it wrote stays there, and may be all that it had reserved."""
    for key in r.devices:
        if (device := node.devices.get(key)) is not None:
            yield device.vram, r.vram_mib
    for name, amount in held_of_node(r):
        if (pool := node.amounts[name]) is not None:
            yield pool, amount
    for key, amount in r.held.items():
        if (pool := node.counted.get(key)) is not None:
            yield pool, amount


def charge_node(node: NodeFree, r: Reservation) -> None:
    usage, sent_at = r.usage, node.report.sent_at
    # A reading older than the attempt cannot contain what the attempt uses: then none of it counts as taken.
    if usage is not None and (r.started_at is None or r.started_at > sent_at):
        usage = None
    for key in r.devices:
        if (device := node.devices.get(key)) is not None:
            _charge_device(device, r, key, sent_at, usage)
    for row, pool in node.known:
        amount = row.held(r)
        pool.reserved += amount
        if usage is not None:
            pool.taken += min(amount, row.used(usage))
    for key, amount in r.held.items():
        if (pool := node.counted.get(key)) is not None:
            pool.reserved += amount
    for root, amount in r.disk.items():
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None:
            disk.pool.reserved += amount
            if usage is not None and root == SCRATCH_ROOT:
                disk.pool.taken += min(amount, usage.scratch_bytes or 0)


def _charge_device(device: DeviceFree, r: Reservation, key: str, sent_at: float, usage: Usage | None) -> None:
    """Where the driver tells who holds what, an attempt's part was taken from what others use already."""
    device.vram.reserved += r.vram_mib
    if device.ours is None:
        if usage is not None:
            device.vram.taken += min(r.vram_mib, usage.vram_on.get(key, usage.vram_mib or 0))
    elif r.worker and r.started_at is not None and r.started_at <= sent_at:
        # What it holds beyond its word is as gone as what a stranger holds.
        device.vram.beyond += max(0, device.ours.get(r.worker, 0) - r.vram_mib)


def add_written(node: NodeFree, fact: RecentWrite) -> None:
    """A file that came after the disk was measured is in no reading and in no reservation."""
    disk = node.disks.get(fact.root)
    measured_at = node.report.sent_at - node.report.volumes_age_s
    if disk is not None and disk.pool is not None and fact.at >= measured_at - MEASURED_S:
        disk.pool.beyond += fact.bytes
