"""The queues of a cluster in the order in which they are tried, kept while amounts come and go: a look-up is
a bisection. Closed queues are left out for good, full queues until they have room again."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from conductor.core.capacity.cluster import DeviceFree, NodeFree, QueueFree
from conductor.model.spec import Lane

#: A queue's number takes so many bits.
BITS = 24
MASK = (1 << BITS) - 1
#: More than any device has, in MiB.
NOBODY_ASKED = 1 << 60


class IndexedQueue:
    """A queue with a device, and where it stands: in which bucket, and there by `rest`. None: nowhere, it
    is full.
    """

    __slots__ = ("device", "free", "is_busy", "number", "queue", "rest")

    def __init__(self, queue: QueueFree, device: DeviceFree) -> None:
        self.queue = queue
        self.device = device
        self.number = queue.number
        self.is_busy = False
        self.free = 0
        #: Free MiB of the node, and the queue's number, as one integer: a thousand of them are compared for
        #: each job.
        self.rest: int | None = None


#: Free MiB of a device, the smallest first, and which queues have it, as `Row.rest`.
Buckets = tuple[list[int], dict[int, list[int]]]


class DeviceOrder:
    """Queues with a device: those with an idle worker, then by free MiB of the device, of the node, and
    number.
    """

    def __init__(self, queues: Iterable[QueueFree]) -> None:
        #: Of queues with an idle worker, and of the others.
        self._of_busy: tuple[Buckets, Buckets] = (([], {}), ([], {}))
        self._rows: dict[int, IndexedQueue] = {}
        self._of_node: dict[NodeFree, list[IndexedQueue]] = {}
        #: The least that was ever asked. A device with less free need not be kept in order: most are nearly
        #: full.
        self._least_mib = NOBODY_ASKED
        for queue in queues:
            if queue.is_open and queue.device is not None:
                row = self._rows[queue.number] = IndexedQueue(queue, queue.device)
                self._of_node.setdefault(queue.node, []).append(row)

    def at_least(self, vram_mib: int) -> Iterator[QueueFree]:
        """Those whose device has so much free."""
        if vram_mib < self._least_mib:
            self._least_mib = vram_mib
            for node in self._of_node:
                self.moved(node)
        for frees, rests in self._of_busy:
            for at in range(bisect_left(frees, vram_mib), len(frees)):
                for rest in rests[frees[at]]:
                    yield self._rows[rest & MASK].queue

    def moved(self, node: NodeFree) -> None:
        rows = self._of_node.get(node)
        if rows is None:
            return
        of_node, least = node.vram_free_mib << BITS, self._least_mib
        for row in rows:
            queue, free, was = row.queue, row.device.vram.free, row.rest
            is_busy = queue.active >= queue.workers
            rest = of_node | row.number if free >= least and queue.queued < queue.depth else None
            if rest == was and (rest is None or (free == row.free and is_busy == row.is_busy)):
                continue
            # Written out: with a function each, this is the largest cost of a start or an end.
            if was is not None:
                frees, rests = self._of_busy[row.is_busy]
                bucket = rests[row.free]
                if len(bucket) == 1:
                    del rests[row.free], frees[bisect_left(frees, row.free)]
                else:
                    del bucket[bisect_left(bucket, was)]
            row.is_busy, row.free, row.rest = is_busy, free, rest
            if rest is not None:
                frees, rests = self._of_busy[is_busy]
                bucket = rests.get(free)
                if bucket is None:
                    rests[free] = [rest]
                    insort(frees, free)
                else:
                    insort(bucket, rest)

    def read_again(self, node: NodeFree) -> None:
        """The same queues, as other objects."""
        now = _by_number(node, "gpu")
        for row in self._of_node.get(node, ()):
            row.queue = now[row.number]
            assert row.queue.device is not None, "a node with other devices is built anew"
            row.device = row.queue.device


#: (are all its workers busy, how busy it is): the first part of the order.
Load = tuple[bool, float]


class LoadOrder:
    """Queues whose jobs take no device: those with an idle worker, then the least busy, then by free cores of
    the node and number, as `places.rank` has it."""

    def __init__(self, queues: Iterable[QueueFree]) -> None:
        self._queues: dict[int, QueueFree] = {}
        self._of_node: dict[NodeFree, list[int]] = {}
        #: Where each stands that has room: its load, and its node's free cores with its number, as one
        #: integer.
        self._at: dict[int, tuple[Load, int]] = {}
        self._loads: list[Load] = []
        self._rests: dict[Load, list[int]] = {}
        for queue in queues:
            if queue.is_open:
                self._queues[queue.number] = queue
                self._of_node.setdefault(queue.node, []).append(queue.number)
        for node in self._of_node:
            self.moved(node)

    def all(self) -> Iterator[QueueFree]:
        for load in self._loads:
            for rest in self._rests[load]:
                yield self._queues[rest & MASK]

    def moved(self, node: NodeFree) -> None:
        for number in self._of_node.get(node, ()):
            queue, was, now = self._queues[number], self._at.get(number), None
            if queue.queued < queue.depth:
                now = (queue.load, node.tie_break.free << BITS | number)
            if was == now:
                continue
            if was is not None:
                self._drop(*was)
            if now is None:
                del self._at[number]
            else:
                self._at[number] = now
                self._put(*now)

    def _drop(self, load: Load, rest: int) -> None:
        rests = self._rests[load]
        del rests[bisect_left(rests, rest)]
        if not rests:
            del self._rests[load], self._loads[bisect_left(self._loads, load)]

    def _put(self, load: Load, rest: int) -> None:
        rests = self._rests.get(load)
        if rests is None:
            self._rests[load] = [rest]
            insort(self._loads, load)
        else:
            insort(rests, rest)

    def read_again(self, node: NodeFree) -> None:
        """The same queues, as other objects."""
        numbers = self._of_node.get(node)
        if numbers:
            now = _by_number(node, self._queues[numbers[0]].lane)
            for number in numbers:
                self._queues[number] = now[number]


def _by_number(node: NodeFree, lane: Lane) -> dict[int, QueueFree]:
    return {queue.number: queue for queue in node.queues.get(lane, ())}
