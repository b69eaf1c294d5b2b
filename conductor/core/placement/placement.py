"""Where one attempt goes: an open queue with room, whose node and devices have all that the attempt asks for.

The rule takes an idle worker before a busy one, then the device that fits tightest, then the node that fits
tightest. `Placement.find` is where another policy would stand; gates, charges and ceilings do not change with
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from conductor.core.capacity.cluster import Free, NodeFree, QueueFree
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import fits
from conductor.core.placement.affinity import Warmth, slack
from conductor.core.placement.multi_device import Several
from conductor.core.placement.place import Lets as Lets
from conductor.core.placement.place import Place as Place
from conductor.core.placement.place import anywhere as anywhere
from conductor.core.placement.place import asks_vram as asks_vram
from conductor.core.placement.place import disks_fit as disks_fit
from conductor.core.placement.place import in_queue as in_queue
from conductor.core.placement.place import node_fits as node_fits
from conductor.core.placement.place import queue_rank
from conductor.core.placement.place import rank as rank
from conductor.core.placement.queue_index import DeviceOrder, LoadOrder
from conductor.model.spec import Lane


class Placing(Protocol):
    """A rule for where an attempt goes. It is told of every change of a node that it does not make itself."""

    def find(self, demand: Demand, lets: Lets = anywhere, job_id: str = "") -> Place | None: ...

    def took(self, place: Place) -> None: ...

    def moved(self, node: NodeFree) -> None: ...

    def read_again(self, node: NodeFree) -> None: ...


class Placement:
    """Finds places in `Free`, and keeps its orders right while admissions reduce it."""

    def __init__(self, free: Free) -> None:
        self._free = free
        self._warmth: Warmth | None = None
        self._devices = DeviceOrder(free.queues["gpu"])
        self._several = Several(free)
        #: The queues of each lane whose jobs take no device; the gpu lane's last, of nodes without devices.
        self._idlest: dict[tuple[Lane, bool], LoadOrder] = {}

    def find(self, demand: Demand, lets: Lets = anywhere, job_id: str = "") -> Place | None:
        if demand.lane == "gpu" and demand.devices == 1:
            return self._on_one_device(demand, lets) or self._without_device(demand, lets, is_gpu_lane=True)
        if demand.vram_mib and not self._warm_queues(demand):
            return self._several.find(demand, lets)
        if demand.vram_mib:
            return self._scan(self._free.queues[demand.lane], demand, lets)
        return self._without_device(demand, lets)

    def _on_one_device(self, demand: Demand, lets: Lets) -> Place | None:
        full: NodeFree | None = None
        for queue in self._devices.at_least(demand.vram_mib):
            if queue.device is None or queue.node is full:
                continue
            if not node_fits(queue.node, demand):
                full = queue.node
                continue
            if demand.counts and not fits(queue.device.amounts, demand.of_device):
                continue
            place = Place(queue, (queue.device,))
            if lets(place):
                return self._warmer(place, demand, lets)
        return None

    def _warmer(self, cold: Place, demand: Demand, lets: Lets) -> Place:
        """A device that has the job's model, where it is as soon free and fits about as tightly."""
        if not demand.warm:
            return cold
        most = sum(d.vram.free for d in cold.devices) + slack(demand)
        for queue in self._warm_queues(demand):
            device = queue.device
            if (
                device is None
                or not demand.vram_mib <= device.vram.free <= most
                or not node_fits(queue.node, demand)
            ):
                continue
            if demand.counts and not fits(device.amounts, demand.of_device):
                continue
            place = Place(queue, (device,))
            if queue.has_idle_worker == cold.queue.has_idle_worker and (queue is cold.queue or lets(place)):
                return place
        return cold

    def _warm_queues(self, demand: Demand) -> Sequence[QueueFree]:
        if self._warmth is None:
            self._warmth = Warmth(self._free)
        return self._warmth.queues(demand) if demand.warm else ()

    def _without_device(self, demand: Demand, lets: Lets, is_gpu_lane: bool = False) -> Place | None:
        """By rank: the first that does is the best, but for those that are warm."""
        if self._warm_queues(demand):
            queues = self._free.queues[demand.lane]
            return self._scan((q for q in queues if not is_gpu_lane or q.device is None), demand, lets)
        order = self._idlest.get((demand.lane, is_gpu_lane))
        if order is None:
            queues = [q for q in self._free.queues[demand.lane] if not is_gpu_lane or q.device is None]
            order = self._idlest[demand.lane, is_gpu_lane] = LoadOrder(queues)
        for queue in order.all():
            if node_fits(queue.node, demand):
                place = Place(queue)
                if lets(place):
                    return place
        return None

    def _scan(self, queues: Iterable[QueueFree], demand: Demand, lets: Lets) -> Place | None:
        best: tuple[float, ...] | None = None
        found: Place | None = None
        for queue in queues:
            # Behind what was found: not looked at, and nobody is asked whether it may be taken.
            if not queue.is_open or (best is not None and queue_rank(queue, demand.warm) > best[:3]):
                continue
            place = in_queue(queue, demand)
            if place is None or (best is not None and rank(place, demand.warm) >= best):
                continue
            if lets(place):
                best, found = rank(place, demand.warm), place
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
