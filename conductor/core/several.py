"""Places of several devices, by an index: what a scan over every queue would find, for the cost of what changed.

For each sort of request the nodes that hold it are kept in the order of their best places. Only nodes that moved since
the sort was asked last are looked at again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import NamedTuple

from conductor.core.ask import Ask
from conductor.core.free import Free, NodeFree
from conductor.core.places import Lets, Place, in_queue, node_fits
from conductor.model.spec import LANES, Lane

#: The log of moves is begun anew beyond this and so many entries a node: then all nodes are looked at once more.
LONGEST_LOG, LOG_PER_NODE = 1_000, 4
#: So many sorts are remembered.
MOST_SORTS = 1_000
#: Less than any request: a node has not so many devices.
NONE = -1

#: (are all its workers busy, how busy the queue is, free MiB of the devices, free cores, the queue's number, the
#: node's): the order of places, the smallest first.
Key = tuple[bool, float, int, int, int, int]


class Row(NamedTuple):
    """An open queue with room, of one node, in the order of its places as far as that is the queue's own."""

    is_busy: bool
    load: float
    number: int
    #: Free MiB of its device; None: it has none.
    own: int | None


class Sort:
    """One sort of request: each node's best place, the best of all in front."""

    __slots__ = ("best", "heap", "seen")

    def __init__(self) -> None:
        #: How many moves of the log were looked at; negative: none of the nodes was yet.
        self.seen = -1
        #: Number of a node that holds it → its best place.
        self.best: dict[int, Key] = {}
        #: Entries that are no node's best any more stay until they come to the front.
        self.heap: list[Key] = []


class Several:
    """Told of every node that moves. Finds what comes first by `places.rank`, and of equals by the queue's number."""

    def __init__(self, free: Free) -> None:
        self._nodes = list(free.nodes.values())
        self._index = {node: i for i, node in enumerate(self._nodes)}
        self._queues = free.queues
        self._sorts: dict[Hashable, Sort] = {}
        #: MiB of a node's devices that may be used, the smallest first; its queues, where it has not moved since.
        self._frees: list[list[int]] = []
        #: Devices asked at once → of each node, how much so many of them have free at least.
        self._most: dict[int, list[int]] = {}
        self._rows: dict[Lane, dict[int, list[Row]]] = {lane: {} for lane in LANES}
        #: Nodes with workers of the gpu lane that are bound to no device: jobs run on the CPU there.
        self._plain = {self._index[queue.node] for queue in free.queues["gpu"] if not queue.device}
        self._log: list[int] = []

    def moved(self, node: NodeFree) -> None:
        if not self._sorts:
            return
        i = self._index[node]
        self._log.append(i)
        frees = self._frees[i] = _frees(node)
        for devices, most in self._most.items():
            most[i] = frees[-devices] if devices <= len(frees) else NONE
        for lane in node.queues:
            self._rows[lane].pop(i, None)
        if len(self._log) > LONGEST_LOG + LOG_PER_NODE * len(self._nodes):
            self._log.clear()
            for sort in self._sorts.values():
                sort.seen = -1

    def find(self, ask: Ask, lets: Lets) -> Place | None:
        sort = self._up_to_date(ask)
        heap, tried, others = sort.heap, list[Key](), list[Key]()
        found: Place | None = None
        while found is None:
            while heap and sort.best.get(heap[0][5]) != heap[0]:
                heappop(heap)
            if heap and not (others and others[0] < heap[0]):
                key = heappop(heap)
                tried.append(key)
            elif others:
                key = heappop(others)
            else:
                break
            place = in_queue(self._queues[ask.lane][key[4]], ask)
            if place is not None and lets(place):
                found = place
            elif tried[-1] is key:
                # The rest of its node comes into question now.
                for other in self._keys(key[5], ask):
                    if other != key:
                        heappush(others, other)
        for key in tried:
            heappush(heap, key)
        return found

    # ── its index ─────────────────────────────────────────────────────────────────────────────────────────

    def _up_to_date(self, ask: Ask) -> Sort:
        name = (ask.lane, ask.node, ask.vram_mib, ask.devices, ask.ram_mib, ask.cpu_milli, ask.disk)
        sort = self._sorts.get(name)
        if sort is None:
            sort = self._new_sort(name, ask.devices)
        if sort.seen < 0 or len(sort.heap) > 4 * len(self._nodes):
            found = ((i, self._best(i, ask)) for i in range(len(self._nodes)))
            sort.best = {i: key for i, key in found if key is not None}
            sort.heap = list(sort.best.values())
            heapify(sort.heap)
        else:
            most, vram_mib, best = self._most[ask.devices], ask.vram_mib, sort.best
            for i in set(islice(self._log, sort.seen, None)):
                now = None if most[i] < vram_mib and not self._plain else self._best(i, ask)
                was = best.get(i)
                if now is None:
                    if was is not None:
                        del best[i]
                elif now != was:
                    best[i] = now
                    heappush(sort.heap, now)
        sort.seen = len(self._log)
        return sort

    def _new_sort(self, name: Hashable, devices: int) -> Sort:
        if not self._sorts:
            self._frees = [_frees(node) for node in self._nodes]
        if len(self._sorts) >= MOST_SORTS:
            self._sorts.clear()
        if devices not in self._most:
            self._most[devices] = [frees[-devices] if devices <= len(frees) else NONE for frees in self._frees]
        sort = self._sorts[name] = Sort()
        return sort

    def _keys(self, i: int, ask: Ask) -> list[Key]:
        """The places of a node."""
        node, keys = self._nodes[i], list[Key]()
        for q in node.queues.get(ask.lane, ()):
            if q.is_open and (place := in_queue(q, ask)) is not None:
                total = sum([device.vram.free for device in place.devices])
                keys.append((q.active >= q.workers, q.active / q.workers, total, node.cpu.free, q.number, i))
        return keys

    def _best(self, i: int, ask: Ask) -> Key | None:
        """The smallest of `_keys`, without the others: this is asked of every sort for every node that moved."""
        node, vram_mib, lane = self._nodes[i], ask.vram_mib, ask.lane
        frees = self._frees[i]
        first = bisect_left(frees, vram_mib)
        end = first + ask.devices
        has_devices = end <= len(frees)
        if not has_devices and not (lane == "gpu" and i in self._plain):
            return None
        if not node_fits(node, ask):
            return None
        rows = self._rows[lane].get(i)
        if rows is None:
            rows = self._rows[lane][i] = _rows(node, lane)
        least, largest = (sum(frees[first:end]), frees[end - 1]) if has_devices else (0, 0)
        best: Key | None = None
        for is_busy, load, number, own in rows:
            if best is not None and (load != best[1] or is_busy != best[0]):
                break  # They come in this order.
            if own is None:
                total = 0 if lane == "gpu" else least
            elif not has_devices or own < vram_mib:
                continue
            else:
                total = least + own - largest if own > largest else least
            if best is None or total < best[2]:
                best = (is_busy, load, total, node.cpu.free, number, i)
        return best


def _frees(node: NodeFree) -> list[int]:
    return sorted([device.vram.free for device in node.devices.values() if device.why_not is None])


def _rows(node: NodeFree, lane: Lane) -> list[Row]:
    return sorted(
        [
            Row(q.active >= q.workers, q.active / q.workers, q.number, q.device.vram.free if q.device else None)
            for q in node.queues.get(lane, ())
            if q.is_open and q.queued < q.depth
        ]
    )
