"""Places of several devices, by an index: the answer of a scan over all queues, at a cost that follows from
what changed.

For each sort of request the nodes that can hold it are kept in the order of their best places. Only nodes
that changed since that sort was asked for last are looked at again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable
from heapq import heappop, heappush, heapreplace
from itertools import islice
from typing import NamedTuple

from conductor.core.capacity.cluster import Free, NodeFree
from conductor.core.capacity.request import Demand
from conductor.core.placement.place import Lets, Place, in_queue, node_fits
from conductor.model.spec import LANES, Lane

#: The log of moves is begun anew beyond this and so many entries a node: then all nodes are looked at once
#: more.
LONGEST_LOG, LOG_PER_NODE = 1_000, 4
#: So many sorts are remembered.
MOST_SORTS = 1_000
#: Less than any request: a node has not so many devices.
NONE = -1
#: In the place of what was not worked out yet: before all that it can come to.
BEFORE, NO_QUEUE = float("-inf"), -1

#: (are all its workers busy, how busy the queue is, free MiB of the devices, free cores, the queue's number,
#: the node's): the order of places, the smallest first.
Key = tuple[bool, float, int, float, int, int]


class NodeQueue(NamedTuple):
    """An open queue with room, of one node, in the order of its places as far as that is the queue's own."""

    is_busy: bool
    load: float
    number: int
    #: Free MiB of its device; None: it has none.
    own: int | None
    #: Its device is a slice of a card: for one job alone, and not together with others.
    is_slice: bool


class RequestOffers:
    """One sort of request: each node's best place, the best of all in front."""

    __slots__ = ("best", "heap", "seen")

    def __init__(self) -> None:
        #: How many moves of the log were looked at; negative: none of the nodes was yet.
        self.seen = -1
        #: Number of a node that has the devices → its best place. Of one that moved, a bound that no place of
        #: it comes before: most are never looked at any closer.
        self.best: dict[int, Key] = {}
        #: Entries that are no node's best any more stay until they come to the front.
        self.heap: list[Key] = []


class Several:
    """Told of every node that moves. Finds what comes first by `places.rank`, and of equals by the queue's
    number.
    """

    def __init__(self, free: Free) -> None:
        self._nodes = list(free.nodes.values())
        self._index = {node: i for i, node in enumerate(self._nodes)}
        self._queues = free.queues
        self._sorts: dict[Hashable, RequestOffers] = {}
        #: MiB of a node's devices that may be used, the smallest first, and of those that may be used
        #: together; its queues, where it has not moved since.
        self._frees: list[tuple[list[int], list[int]]] = []
        #: Devices asked at once → of each node, how much so many of them have free at least.
        self._most: dict[int, list[int]] = {}
        self._rows: dict[Lane, dict[int, list[NodeQueue]]] = {lane: {} for lane in LANES}
        #: Nodes with workers of the gpu lane that are bound to no device: jobs run on the CPU there.
        self._plain = {self._index[queue.node] for queue in free.queues["gpu"] if not queue.device}
        self._log: list[int] = []

    def moved(self, node: NodeFree) -> None:
        if not self._sorts:
            return
        i = self._index[node]
        self._log.append(i)
        self._frees[i] = _frees(node)
        for devices, most in self._most.items():
            most[i] = self._most_on(i, devices)
        for lane in node.queues:
            self._rows[lane].pop(i, None)
        if len(self._log) > LONGEST_LOG + LOG_PER_NODE * len(self._nodes):
            self._log.clear()
            for sort in self._sorts.values():
                sort.seen = -1

    def find(self, demand: Demand, lets: Lets) -> Place | None:
        sort = self._up_to_date(demand)
        heap, tried, others = sort.heap, list[Key](), list[Key]()
        found: Place | None = None
        while found is None:
            front = self._front(sort, demand)
            if front is not None and not (others and others[0] < front):
                key = heappop(heap)
                tried.append(key)
            elif others:
                key = heappop(others)
            else:
                break
            place = in_queue(self._queues[demand.lane][key[4]], demand)
            if place is not None and lets(place):
                found = place
            elif tried[-1] is key:
                # The rest of its node comes into question now.
                for other in self._keys(key[5], demand):
                    if other != key:
                        heappush(others, other)
        for key in tried:
            heappush(heap, key)
        return found

    # ── its index ─────────────────────────────────────────────────────────────────────────────────────────

    def _up_to_date(self, demand: Demand) -> RequestOffers:
        name = (demand.where, demand.of_node, demand.of_device, demand.disk)
        sort = self._sorts.get(name)
        if sort is None:
            sort = self._new_sort(name, demand.devices)
        moved: Iterable[int] = set(islice(self._log, max(0, sort.seen), None))
        if sort.seen < 0 or len(sort.heap) > 4 * len(self._nodes):
            moved, sort.best, sort.heap = range(len(self._nodes)), {}, []
        most, vram_mib, best = self._most[demand.devices], demand.vram_mib, sort.best
        for i in moved:
            if most[i] >= vram_mib:
                frees = self._free_of(i, demand.devices)
                first = bisect_left(frees, vram_mib)
                total = 0 if i in self._plain else sum(frees[first : first + demand.devices])
            elif i in self._plain:
                total = 0
            else:
                if i in best:
                    del best[i]
                continue
            bound = (False, 0.0, total, BEFORE, NO_QUEUE, i)
            if best.get(i) != bound:
                best[i] = bound
                heappush(sort.heap, bound)
        sort.seen = len(self._log)
        return sort

    def _front(self, sort: RequestOffers, demand: Demand) -> Key | None:
        """The best place of all, at the front of the heap; None: there is none."""
        heap, best = sort.heap, sort.best
        while heap:
            key = heap[0]
            i = key[5]
            if best.get(i) != key:
                heappop(heap)
            elif key[4] != NO_QUEUE:
                return key
            elif (now := self._best(i, demand)) is None:
                heappop(heap)
                del best[i]
            else:
                heapreplace(heap, now)
                best[i] = now
        return None

    def _new_sort(self, name: Hashable, devices: int) -> RequestOffers:
        if not self._sorts:
            self._frees = [_frees(node) for node in self._nodes]
        if len(self._sorts) >= MOST_SORTS:
            self._sorts.clear()
        if devices not in self._most:
            self._most[devices] = [self._most_on(i, devices) for i in range(len(self._nodes))]
        sort = self._sorts[name] = RequestOffers()
        return sort

    def _free_of(self, i: int, devices: int) -> list[int]:
        return self._frees[i][devices > 1]

    def _most_on(self, i: int, devices: int) -> int:
        frees = self._free_of(i, devices)
        return frees[-devices] if devices <= len(frees) else NONE

    def _keys(self, i: int, demand: Demand) -> list[Key]:
        """The places of a node."""
        node, keys = self._nodes[i], list[Key]()
        for q in node.queues.get(demand.lane, ()):
            if q.is_open and (place := in_queue(q, demand)) is not None:
                total = sum([device.vram.free for device in place.devices])
                keys.append(
                    (q.active >= q.workers, q.active / q.workers, total, node.tie_break.free, q.number, i)
                )
        return keys

    def _best(self, i: int, demand: Demand) -> Key | None:
        """The smallest of `_keys`, without the others: this is asked of every sort for every node that
        moved.
        """
        node, vram_mib, lane = self._nodes[i], demand.vram_mib, demand.lane
        frees = self._free_of(i, demand.devices)
        first = bisect_left(frees, vram_mib)
        end = first + demand.devices
        has_devices = end <= len(frees)
        if not has_devices and not (lane == "gpu" and i in self._plain):
            return None
        if not node_fits(node, demand):
            return None
        rows = self._rows[lane].get(i)
        if rows is None:
            rows = self._rows[lane][i] = _rows(node, lane)
        least, largest = (sum(frees[first:end]), frees[end - 1]) if has_devices else (0, 0)
        best: Key | None = None
        for is_busy, load, number, own, is_slice in rows:
            if best is not None and (load != best[1] or is_busy != best[0]):
                break  # They come in this order.
            if own is None:
                total = 0 if lane == "gpu" else least
            elif not has_devices or own < vram_mib or (is_slice and demand.devices > 1):
                continue
            else:
                total = least + own - largest if own > largest else least
            if best is None or total < best[2]:
                best = (is_busy, load, total, node.tie_break.free, number, i)
        return best


def _frees(node: NodeFree) -> tuple[list[int], list[int]]:
    able = [device for device in node.devices.values() if device.why_not is None]
    found = sorted([device.vram.free for device in able])
    wholes = sorted([d.vram.free for d in able if not d.is_slice]) if any(d.is_slice for d in able) else found
    return found, wholes


def _rows(node: NodeFree, lane: Lane) -> list[NodeQueue]:
    return sorted(
        [
            NodeQueue(
                is_busy=q.active >= q.workers,
                load=q.active / q.workers,
                number=q.number,
                own=q.device.vram.free if q.device else None,
                is_slice=q.device is not None and q.device.is_slice,
            )
            for q in node.queues.get(lane, ())
            if q.is_open and q.queued < q.depth
        ]
    )
