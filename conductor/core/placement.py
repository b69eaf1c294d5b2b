"""Where one attempt goes: the open queue with room whose node, and devices, hold all that it asks for.

The rule: an idle worker before a busy one, then the device that fits tightest, then the node that does. The seam
for another policy is `Placement.find`; gates, charges and ceilings do not change with it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from conductor.core.affinity import Warmth, slack
from conductor.core.ask import Ask
from conductor.core.free import DeviceFree, Free, NodeFree, Pool, QueueFree
from conductor.model.spec import LANES, Lane


class Place:
    """Where an attempt is put: its queue, and the devices whose VRAM it takes."""

    __slots__ = ("devices", "node", "queue")

    def __init__(self, queue: QueueFree, devices: tuple[DeviceFree, ...] = ()) -> None:
        self.node: NodeFree = queue.node
        self.queue = queue
        self.devices = devices


def node_fits(node: NodeFree, ask: Ask) -> bool:
    """Do RAM, cores and disks of this node hold it, and are the files it reads there."""
    if ask.node is not None and node.name != ask.node:
        return False
    if ask.cpu_milli and node.cpu.free < ask.cpu_milli:
        return False
    if ask.ram_mib and (node.ram is None or node.ram.free < ask.ram_mib):
        return False
    return disks_fit(node, ask)


def disks_fit(node: NodeFree, ask: Ask) -> bool:
    """Is every root usable, and has every file system room for all that this attempt puts on it."""
    asked: dict[Pool, int] = {}
    for root, size in ask.disk:
        disk = node.disks.get(root)
        if disk is None or disk.volume.fault is not None or not disk.volume.is_writable:
            return False
        # Begun chains go on when a disk is closed: it is they who give it back.
        if disk.volume.opens_at_bytes is not None and ask.node is None:
            return False
        if size and disk.pool is None:
            return False
        if disk.pool is not None:
            asked[disk.pool] = asked.get(disk.pool, 0) + size
    return all(size == 0 or pool.free >= size for pool, size in asked.items())


def asks_vram(queue: QueueFree, ask: Ask) -> bool:
    """The gpu lane of a node without devices runs on the CPU: no VRAM is asked there."""
    return ask.vram_mib > 0 and (queue.lane != "gpu" or queue.device is not None or queue.missing is not None)


#: May this place be taken by this request: it may be kept free for another.
Lets = Callable[[Place], bool]


def anywhere(place: Place) -> bool:
    return True


class Placing(Protocol):
    """A rule for where an attempt goes. It is told of every change of a node that it does not make itself."""

    def find(self, ask: Ask, lets: Lets = anywhere, job_id: str = "") -> Place | None: ...

    def took(self, place: Place) -> None: ...

    def moved(self, node: NodeFree) -> None: ...


class Placement:
    """Finds places in `Free`, and keeps its orders right while admissions reduce it."""

    def __init__(self, free: Free) -> None:
        self._devices = DeviceOrder(q for q in free.queues["gpu"] if q.device and q.is_open)
        #: Those that are full now stay in: a keeper of the state sees them get room again.
        self._warmth = Warmth(free)
        self._open: dict[Lane, list[QueueFree]] = {lane: [q for q in free.queues[lane] if q.is_open] for lane in LANES}
        #: The gpu lane of nodes without devices.
        self._on_cpu = [q for q in self._open["gpu"] if q.device is None]

    def find(self, ask: Ask, lets: Lets = anywhere, job_id: str = "") -> Place | None:
        if ask.lane == "gpu" and ask.devices == 1:
            return self._on_one_device(ask, lets) or self._scan(self._on_cpu, ask, lets)
        return self._scan(self._open[ask.lane], ask, lets)

    def _on_one_device(self, ask: Ask, lets: Lets) -> Place | None:
        for queue in self._devices.at_least(ask.vram_mib):
            if queue.device is not None and node_fits(queue.node, ask):
                place = Place(queue, (queue.device,))
                if lets(place):
                    return self._warmer(place, ask, lets)
        return None

    def _warmer(self, cold: Place, ask: Ask, lets: Lets) -> Place:
        """A device that has the job's model, where it is as soon free and fits about as tightly."""
        most = sum(d.vram.free for d in cold.devices) + slack(ask)
        for queue in self._warmth.queues(ask):
            device = queue.device
            if device is None or not ask.vram_mib <= device.vram.free <= most or not node_fits(queue.node, ask):
                continue
            place = Place(queue, (device,))
            if queue.has_idle_worker == cold.queue.has_idle_worker and (queue is cold.queue or lets(place)):
                return place
        return cold

    def _scan(self, queues: Iterable[QueueFree], ask: Ask, lets: Lets) -> Place | None:
        places = (self._in_queue(queue, ask) for queue in queues)
        found = (place for place in places if place is not None and lets(place))
        return min(found, key=lambda place: rank(place, ask.warm), default=None)

    def _in_queue(self, queue: QueueFree, ask: Ask) -> Place | None:
        if not queue.has_room or not node_fits(queue.node, ask):
            return None
        if not asks_vram(queue, ask):
            return Place(queue)
        devices = tightest(queue, ask)
        return None if devices is None else Place(queue, devices)

    def took(self, place: Place) -> None:
        """After a place was charged: its queue is one deeper, its node's devices have less."""
        self._devices.moved(place.node)

    def moved(self, node: NodeFree) -> None:
        """Something of it was given back."""
        self._devices.moved(node)


def tightest(queue: QueueFree, ask: Ask) -> tuple[DeviceFree, ...] | None:
    """As many devices of the queue's node as asked, the fullest that fit; the queue's own device is among them."""
    fitting = [d for d in queue.node.devices.values() if d.why_not is None and d.vram.free >= ask.vram_mib]
    if queue.device is not None and queue.device not in fitting:
        return None
    fitting.sort(key=lambda d: (d is not queue.device, d.vram.free, d.index))
    return tuple(fitting[: ask.devices]) if len(fitting) >= ask.devices else None


def rank(place: Place, warm: str = "") -> tuple[float, ...]:
    """Idle workers first, then who has its model, the least busy queue, the tightest devices and the tightest node."""
    queue = place.queue
    load, is_cold = queue.active / queue.workers, warm not in queue.warm if warm else False
    return (not queue.has_idle_worker, is_cold, load, sum(d.vram.free for d in place.devices), place.node.cpu.free)


class DeviceOrder:
    """Device queues by free VRAM: those with an idle worker, and the others. A look-up costs a bisection."""

    def __init__(self, queues: Iterable[QueueFree]) -> None:
        self._queues = list(queues)
        self._at: dict[NodeFree, list[int]] = {}
        self._keys: dict[int, tuple[bool, int, int, int]] = {}
        self._order: list[tuple[bool, int, int, int]] = []
        for i, queue in enumerate(self._queues):
            self._at.setdefault(queue.node, []).append(i)
        for node, places in self._at.items():
            for i in places:
                if self._queues[i].has_room:
                    self._keys[i] = self._key(i, node.vram_free_mib)
        self._order = sorted(self._keys.values())

    def _key(self, i: int, node_free: int) -> tuple[bool, int, int, int]:
        queue = self._queues[i]
        vram = queue.device.vram.free if queue.device else 0
        return (not queue.has_idle_worker, vram, node_free, i)

    def at_least(self, vram_mib: int) -> Iterator[QueueFree]:
        for is_busy in (False, True):
            for at in range(bisect_left(self._order, (is_busy, vram_mib)), len(self._order)):
                key = self._order[at]
                if key[0] != is_busy:
                    break
                yield self._queues[key[3]]

    def moved(self, node: NodeFree) -> None:
        places = self._at.get(node)
        if not places:
            return
        node_free = node.vram_free_mib
        for i in places:
            if (key := self._keys.pop(i, None)) is not None:
                del self._order[bisect_left(self._order, key)]
            if self._queues[i].has_room:
                key = self._keys[i] = self._key(i, node_free)
                insort(self._order, key)
