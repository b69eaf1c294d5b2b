"""Who goes next where a running attempt ends: named while it runs, so that its device waits for no tick.
Pure.

A successor is the first job in the order of this tick that its predecessor's end would let in: in the very
queue, or in another one of its node, where only one would do. Nobody is passed over by one: where a job
before it could use that end in any other way, or waits for more of what ends there, no successor is named,
and the next tick decides. A successor holds nothing here:
what the ledger claims for the files of one that is preloaded is free to every tick, and given up for whoever
takes it. The hand-over asks the ceilings again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

import msgspec

from conductor.core.capacity.charges import disk_key
from conductor.core.capacity.cluster import Free
from conductor.core.capacity.in_flight import release_at
from conductor.core.capacity.node import NodeFree, QueueFree, given_back
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import Pool, could_fit, fits
from conductor.core.placement.place import Place, asks_vram, disks_fit, node_fits
from conductor.model.decision import Admission, Successor
from conductor.model.snapshot import Head, JobClass, Reservation

#: Successors of a tick; those whose predecessors should end first.
MOST_SUCCESSORS = 64
#: With more nodes than this a free place among so many is found sooner than one that is to become free.
MOST_NODES = 64
#: Held requests that are looked at for one predecessor.
MOST_LOOKED_AT = 32
#: A successor that no tick names again within so long is none any more: its leader is gone.
STANDS_S = 5.0


class Waiter(NamedTuple):
    """A class that is held for want of room, in order, and its first job that stays."""

    job_class: JobClass
    head: Head
    demand: Demand
    #: May it be a successor at all. Who may not goes before others all the same.
    is_free: bool


#: The admission of a job to a place; None where something other than room says no there.
Admit = Callable[[Waiter, Place], Admission | None]


def successors(free: Free, waiters: Sequence[Waiter], admit: Admit) -> tuple[Successor, ...]:
    """`free`: as the tick's admissions leave it; it is left as it was. Each answer is for that one end alone:
    a job may be successor of several. Only one successor of a tick is ever handed over: then the next tick
    names others."""
    if not waiters or len(free.nodes) > MOST_NODES:
        return ()
    queues = {queue.name: queue for queues in free.queues.values() for queue in queues}
    able = (
        (r, queues[r.queue])
        for r in free.reservations
        if r.queue in queues and _can_be_followed(r, queues[r.queue])
    )
    soonest = nsmallest(
        MOST_SUCCESSORS, able, key=lambda pair: (release_at(pair[0], free.now), pair[0].job_id)
    )
    return tuple(
        successor
        for r, queue in soonest
        if (successor := _successor(r, queue, waiters, admit, free)) is not None
    )


def _can_be_followed(r: Reservation, queue: QueueFree) -> bool:
    """What already waits in its queue is next."""
    return r.state == "running" and len(r.devices) <= 1 and queue.is_open and queue.queued == 0


def _successor(
    r: Reservation, queue: QueueFree, waiters: Sequence[Waiter], admit: Admit, free: Free
) -> Successor | None:
    counted = [
        (pool, amount) for key, amount in r.held.items() if (pool := free.counted.get(key)) is not None
    ]
    given = [*given_back(queue.node, r), *counted]
    pools = {pool for pool, _ in given}
    for pool, amount in given:
        pool.take(-amount)
    try:
        for waiter in islice(waiters, MOST_LOOKED_AT):
            admission = None
            if waiter.is_free and (place := _place_after(waiter.demand, queue, free)) is not None:
                admission = admit(waiter, place)
            if admission is not None:
                return Successor(
                    predecessor=r.job_id,
                    attempt=r.attempt,
                    admission=_less_its_files(admission, r, queue.node),
                )
            if _wants_counted(waiter.demand, free, pools) or _wants(waiter.demand, queue.node, free, pools):
                return None
        return None
    finally:
        for pool, amount in given:
            pool.take(amount)


def _place_after(demand: Demand, queue: QueueFree, free: Free) -> Place | None:
    """In that queue, whose worker has nothing to do then; or in the only other one in which it fits: among
    several the next tick chooses. What is given back to all nodes may let it in on any."""
    if (place := _place(demand, queue, free)) is not None:
        return place
    if demand.of_cluster and len(free.nodes) > 1:
        return None
    others = (other for other in queue.node.queues.get(demand.lane, ()) if other is not queue)
    places = [place for other in others if (place := _place(demand, other, free)) is not None]
    return places[0] if len(places) == 1 else None


def _place(demand: Demand, queue: QueueFree, free: Free) -> Place | None:
    """In that queue, as far as it fits."""
    if (
        demand.lane != queue.lane
        or demand.devices > 1
        or not (queue.is_open and queue.has_room)
        or not node_fits(queue.node, demand)
    ):
        return None
    if demand.of_cluster and not fits(free.amounts, demand.of_cluster):
        return None
    if not asks_vram(queue, demand):
        return Place(queue)
    device = queue.device
    return None if device is None or not fits(device.amounts, demand.of_device) else Place(queue, (device,))


def _wants_counted(demand: Demand, free: Free, given: set[Pool]) -> bool:
    """Does this end give back what it waits for wherever it goes."""
    return any(pool in given for name, _ in demand.of_cluster if (pool := free.amounts.get(name)) is not None)


def _wants(demand: Demand, node: NodeFree, free: Free, given: set[Pool]) -> bool:
    """Would this end let it in elsewhere on the node, or bring it nearer to that."""
    if demand.of_cluster and not fits(free.amounts, demand.of_cluster):
        return False
    queues = [queue for queue in node.queues.get(demand.lane, ()) if queue.is_open]
    if not queues or demand.node not in (None, node.name):
        return False
    amounts = [(pool, amount) for name, amount in demand.of_node if (pool := node.amounts[name]) is not None]
    able = [
        d.amounts
        for d in node.devices_for(demand)
        if d.why_not is None and could_fit(d.amounts, demand.of_device)
    ]
    devices = demand.devices if any(asks_vram(queue, demand) for queue in queues) else 0
    if len(able) < devices or any(amount > pool.limit for pool, amount in amounts):
        return False
    short = [pool for pool, amount in amounts if pool.free < amount]
    if sum(fits(pools, demand.of_device) for pools in able) < devices:
        asked = [
            (pool, n) for pools in able for name, n in demand.of_device if (pool := pools[name]) is not None
        ]
        short += [pool for pool, amount in asked if pool.free < amount]
    if short:
        return any(pool in given for pool in short)
    return disks_fit(node, demand) and any(queue.has_room for queue in queues)


def _less_its_files(admission: Admission, r: Reservation, node: NodeFree) -> Admission:
    """What the predecessor leaves on the disks counts against their ceilings as if it were all that it had
    reserved.
    """
    ceilings = dict(admission.ceilings)
    for root, size in r.disk.items():
        disk = node.disks.get(root)
        if disk is not None and (key := disk_key(node.name, *disk.sharing)) in ceilings:
            ceilings[key] -= size
    return msgspec.structs.replace(admission, ceilings=ceilings)
