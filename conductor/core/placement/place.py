"""A place for one attempt: what it is, whether a request fits there, and which of two comes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conductor.core.capacity.cluster import DeviceFree, NodeFree, QueueFree
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import Pool, could_fit, fits


class Place:
    """Where an attempt is put: its queue, and the devices whose VRAM it takes."""

    __slots__ = ("devices", "node", "queue")

    def __init__(self, queue: QueueFree, devices: tuple[DeviceFree, ...] = ()) -> None:
        self.node: NodeFree = queue.node
        self.queue = queue
        self.devices = devices


def node_fits(node: NodeFree, demand: Demand) -> bool:
    """Do RAM, cores and disks of this node hold it, and are the files it reads there."""
    if demand.node is not None and node.name != demand.node:
        return False
    if not fits(node.amounts, demand.of_node):
        return False
    return not demand.disk or disks_fit(node, demand)


def disks_fit(node: NodeFree, demand: Demand) -> bool:
    """Is every root usable, and has every file system room for all that this attempt puts on it."""
    asked: dict[Pool, int] = {}
    for root, size in demand.disk:
        disk = node.disks.get(root)
        if disk is None or disk.volume.fault is not None or not disk.volume.is_writable:
            return False
        if disk.volume.opens_at_bytes is not None and not demand.has_begun:
            return False
        if size and disk.pool is None:
            return False
        if disk.pool is not None:
            asked[disk.pool] = asked.get(disk.pool, 0) + size
    return all(size == 0 or pool.free >= size for pool, size in asked.items())


def asks_vram(queue: QueueFree, demand: Demand) -> bool:
    """The gpu lane of a node without devices runs on the CPU: no VRAM is asked there."""
    return demand.vram_mib > 0 and (
        queue.lane != "gpu" or queue.device is not None or queue.missing is not None
    )


def usable_devices(demand: Demand, node: NodeFree) -> list[DeviceFree]:
    """The devices a job of this lane could use here: those with workers; for other lanes all of them."""
    queues: Sequence[QueueFree] = node.queues.get(demand.lane, ())
    if demand.lane != "gpu":
        return node.devices_for(demand) if demand.vram_mib else []
    if demand.devices > 1 and any(queue.device for queue in queues):
        return node.devices_for(demand)
    return [queue.device for queue in queues if queue.device is not None]


def unserved_devices(demand: Demand, node: NodeFree) -> list[DeviceFree]:
    """Large enough for one of the gpu lane, and of no worker; none where a device that has workers is: of
    several, one has to be its worker's own."""
    served = [queue.device for queue in node.queues.get(demand.lane, ()) if queue.device is not None]
    if demand.lane != "gpu" or any(could_fit(device.amounts, demand.of_device) for device in served):
        return []
    others = (device for device in node.devices_for(demand) if device not in served)
    return [device for device in others if could_fit(device.amounts, demand.of_device)]


#: May this place be taken by this request: it may be kept free for another.
Lets = Callable[[Place], bool]


def anywhere(place: Place) -> bool:
    return True


def in_queue(queue: QueueFree, demand: Demand) -> Place | None:
    """The place that it would get there, by the tightest devices; None where it does not fit now."""
    if not queue.has_room or not node_fits(queue.node, demand):
        return None
    if not asks_vram(queue, demand):
        return Place(queue)
    devices = tightest(queue, demand)
    return None if devices is None else Place(queue, devices)


def tightest(queue: QueueFree, demand: Demand) -> tuple[DeviceFree, ...] | None:
    """As many devices of the queue's node as asked, the fullest that fit; the queue's own device is among
    them.
    """
    fitting = [
        d for d in queue.node.devices_for(demand) if d.why_not is None and d.vram.free >= demand.vram_mib
    ]
    if demand.counts:
        fitting = [d for d in fitting if fits(d.amounts, demand.of_device)]
    if queue.device is not None and queue.device not in fitting:
        return None
    fitting.sort(key=lambda d: (d is not queue.device, d.vram.free, d.index))
    return tuple(fitting[: demand.devices]) if len(fitting) >= demand.devices else None


def rank(place: Place, warm: str = "") -> tuple[float, ...]:
    """Idle workers first, then who has its model, the least busy queue, the tightest devices and the
    tightest node.
    """
    vram = sum([d.vram.free for d in place.devices])
    return (*queue_rank(place.queue, warm), vram, place.node.tie_break.free)


def queue_rank(queue: QueueFree, warm: str) -> tuple[float, ...]:
    """The part of `rank` that the queue alone decides."""
    is_busy, load = queue.load
    return (is_busy, warm not in queue.warm if warm else False, load)
