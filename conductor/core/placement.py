"""Where one attempt goes: the open queue with room whose node, and devices, hold all that it asks for.

The rule: an idle worker before a busy one, then the device that fits tightest, then the node that does. The seam
for another policy is `Placement.find`; gates, charges and ceilings do not change with it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from conductor.core.affinity import Warmth, slack
from conductor.core.ask import Ask
from conductor.core.free import Free, NodeFree, QueueFree
from conductor.core.places import Lets as Lets
from conductor.core.places import Place as Place
from conductor.core.places import anywhere as anywhere
from conductor.core.places import asks_vram as asks_vram
from conductor.core.places import disks_fit as disks_fit
from conductor.core.places import in_queue, standing
from conductor.core.places import node_fits as node_fits
from conductor.core.places import rank as rank
from conductor.core.several import Several
from conductor.model.spec import Lane


class Placing(Protocol):
    """A rule for where an attempt goes. It is told of every change of a node that it does not make itself."""

    def find(self, ask: Ask, lets: Lets = anywhere, job_id: str = "") -> Place | None: ...

    def took(self, place: Place) -> None: ...

    def moved(self, node: NodeFree) -> None: ...

    def read_again(self, node: NodeFree) -> None: ...


class Placement:
    """Finds places in `Free`, and keeps its orders right while admissions reduce it."""

    def __init__(self, free: Free) -> None:
        self._free = free
        self._warmth: Warmth | None = None
        self._devices = QueueOrder(free.queues["gpu"], _by_device)
        self._several = Several(free)
        #: The queues of each lane whose jobs take no device; the gpu lane's last, of nodes without devices.
        self._idlest: dict[tuple[Lane, bool], QueueOrder] = {}

    def find(self, ask: Ask, lets: Lets = anywhere, job_id: str = "") -> Place | None:
        if ask.lane == "gpu" and ask.devices == 1:
            return self._on_one_device(ask, lets) or self._without_device(ask, lets, is_gpu_lane=True)
        if ask.vram_mib and not self._warm_queues(ask):
            return self._several.find(ask, lets)
        if ask.vram_mib:
            return self._scan(self._free.queues[ask.lane], ask, lets)
        return self._without_device(ask, lets)

    def _on_one_device(self, ask: Ask, lets: Lets) -> Place | None:
        full: NodeFree | None = None
        for queue in self._devices.at_least(ask.vram_mib):
            if queue.device is None or queue.node is full:
                continue
            if not node_fits(queue.node, ask):
                full = queue.node
                continue
            place = Place(queue, (queue.device,))
            if lets(place):
                return self._warmer(place, ask, lets)
        return None

    def _warmer(self, cold: Place, ask: Ask, lets: Lets) -> Place:
        """A device that has the job's model, where it is as soon free and fits about as tightly."""
        if not ask.warm:
            return cold
        most = sum(d.vram.free for d in cold.devices) + slack(ask)
        for queue in self._warm_queues(ask):
            device = queue.device
            if device is None or not ask.vram_mib <= device.vram.free <= most or not node_fits(queue.node, ask):
                continue
            place = Place(queue, (device,))
            if queue.has_idle_worker == cold.queue.has_idle_worker and (queue is cold.queue or lets(place)):
                return place
        return cold

    def _warm_queues(self, ask: Ask) -> Sequence[QueueFree]:
        if self._warmth is None:
            self._warmth = Warmth(self._free)
        return self._warmth.queues(ask) if ask.warm else ()

    def _without_device(self, ask: Ask, lets: Lets, is_gpu_lane: bool = False) -> Place | None:
        """By rank: the first that does is the best, but for those that are warm."""
        if self._warm_queues(ask):
            queues = self._free.queues[ask.lane]
            return self._scan((q for q in queues if not is_gpu_lane or q.device is None), ask, lets)
        order = self._idlest.get((ask.lane, is_gpu_lane))
        if order is None:
            queues = [q for q in self._free.queues[ask.lane] if not is_gpu_lane or q.device is None]
            order = self._idlest[ask.lane, is_gpu_lane] = QueueOrder(queues, _by_load)
        for queue in order.all():
            if node_fits(queue.node, ask):
                place = Place(queue)
                if lets(place):
                    return place
        return None

    def _scan(self, queues: Iterable[QueueFree], ask: Ask, lets: Lets) -> Place | None:
        best: tuple[float, ...] | None = None
        found: Place | None = None
        for queue in queues:
            # Behind what was found: not looked at, and nobody is asked whether it may be taken.
            if not queue.is_open or (best is not None and standing(queue, ask.warm) > best[:3]):
                continue
            place = in_queue(queue, ask)
            if place is None or (best is not None and rank(place, ask.warm) >= best):
                continue
            if lets(place):
                best, found = rank(place, ask.warm), place
        return found

    def took(self, place: Place) -> None:
        """After a place was charged: its queue is one deeper, its node's devices have less."""
        self.moved(place.node)

    def moved(self, node: NodeFree) -> None:
        """Something of it was given back."""
        self._devices.moved(node)
        self._several.moved(node)
        for order in self._idlest.values():
            order.moved(node)

    def read_again(self, node: NodeFree) -> None:
        """Its queues and devices are other objects now."""
        self._warmth = None
        self._devices.read_again(node)
        for order in self._idlest.values():
            order.read_again(node)
        self.moved(node)


Key = tuple[float, ...]


def _by_device(queue: QueueFree, node_free: int) -> Key:
    return (not queue.has_idle_worker, queue.device.vram.free if queue.device else 0, node_free, queue.number)


def _by_load(queue: QueueFree, node_free: int) -> Key:
    """As `rank` has it for a place without devices."""
    return (not queue.has_idle_worker, queue.active / queue.workers, queue.node.cpu.free, queue.number)


class QueueOrder:
    """Open queues with room, by a key that begins with «all its workers are busy»: a look-up costs a bisection.

    Those that are full now are known: a keeper of the state sees them get room again."""

    def __init__(self, queues: Iterable[QueueFree], key: Callable[[QueueFree, int], Key]) -> None:
        self._key = key
        self._is_by_device = key is _by_device
        self._by_number: dict[int, QueueFree] = {}
        self._of_node: dict[NodeFree, list[QueueFree]] = {}
        self._keys: dict[int, Key] = {}
        for queue in queues:
            if queue.is_open and (queue.device or not self._is_by_device):
                self._by_number[queue.number] = queue
                self._of_node.setdefault(queue.node, []).append(queue)
        for node, here in self._of_node.items():
            node_free = node.vram_free_mib if self._is_by_device else 0
            self._keys |= {queue.number: key(queue, node_free) for queue in here if queue.has_room}
        self._order = sorted(self._keys.values())

    def at_least(self, vram_mib: int) -> Iterator[QueueFree]:
        for is_busy in (False, True):
            for at in range(bisect_left(self._order, (is_busy, vram_mib)), len(self._order)):
                key = self._order[at]
                if key[0] != is_busy:
                    break
                yield self._by_number[int(key[3])]

    def all(self) -> Iterator[QueueFree]:
        for key in self._order:
            yield self._by_number[int(key[3])]

    def moved(self, node: NodeFree) -> None:
        here = self._of_node.get(node)
        if not here:
            return
        node_free = node.vram_free_mib if self._is_by_device else 0
        for queue in here:
            was, now = self._keys.get(queue.number), self._key(queue, node_free) if queue.has_room else None
            if was == now:
                continue
            if was is not None:
                del self._order[bisect_left(self._order, was)]
            if now is None:
                del self._keys[queue.number]
            else:
                self._keys[queue.number] = now
                insort(self._order, now)

    def read_again(self, node: NodeFree) -> None:
        """The same queues, as other objects."""
        for at, was in enumerate(here := self._of_node.get(node, [])):
            now = next(q for q in node.queues[was.lane] if q.name == was.name)
            here[at] = self._by_number[was.number] = now
