"""Where an attempt goes so that the least is lost to the others: capacity that no usual job could use any
more.

A node is worth what it could still give: for every usual kind of job, weighted by how many there are, the
VRAM that it would take here if the node were filled with that kind alone. The place with the least loss of
worth is taken. Nodes in the same state get the same answer, and states are few: the work follows the states,
not the nodes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import islice
from operator import gt, sub
from typing import NamedTuple
from zlib import crc32

from conductor.core.capacity.cluster import DeviceFree, Free, NodeFree, QueueFree
from conductor.core.capacity.node import INFINITE
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import TIE_BREAK
from conductor.core.placement.affinity import Warmth, slack
from conductor.core.placement.fragmentation import JobShape, Worth, kind_of
from conductor.core.placement.node_state import NodeState, is_beyond_devices, most_of, picks_of, state_of
from conductor.core.placement.placement import (
    Lets,
    Place,
    anywhere,
    in_queue,
    node_fits,
    rank,
)
from conductor.core.placement.queue_index import LoadOrder
from conductor.core.placement.workload_mix import Mix
from conductor.model.limits import PlaceRule
from conductor.model.spec import LANES, Lane

#: The log of new states is begun anew beyond this, and twice the states there are.
LONGEST_LOG = 10_000
#: Of so many states it is looked up first whether any has enough at all.
FEW_STATES = 16


class Choice(NamedTuple):
    """How a request would best be put into a state; compared from the left."""

    is_busy: bool
    loss: float
    vram_left: int
    #: Of what decides between equal places (`resources.TIE_BREAK`).
    own_left: float
    picks: tuple[int, ...]


class Answers:
    """Of one kind of request in one lane: what each state that was seen would cost, the best in front."""

    __slots__ = ("heap", "known", "seen")

    def __init__(self) -> None:
        #: How much of the log of new states was looked at.
        self.seen = 0
        self.known: dict[NodeState, Choice | None] = {}
        #: Of states that no node is in any more, entries stay until they come to the front.
        self.heap: list[tuple[Choice, NodeState]] = []


class Packing:
    """The rules that look at states: «least_loss», and «first» and «random» as its controls."""

    def __init__(self, free: Free, mix: Mix, rule: PlaceRule = "least_loss", seed: int = 0) -> None:
        self._free = free
        self._mix = mix
        self._rule = rule
        self._seed = seed
        self._nodes: list[NodeFree] = list(free.nodes.values())
        self._index = {node: i for i, node in enumerate(self._nodes)}
        self._state: list[NodeState | None] = [None] * len(self._nodes)
        #: State → numbers of the nodes that are in it, and the log of states that came to have one.
        self._groups: dict[NodeState, list[int]] = {}
        self._log: list[NodeState] = []
        #: The most that a state has, of what is the node's own and of one device; None: to be looked up.
        self._most: tuple[tuple[float, ...], float] | None = None
        self._answers: dict[tuple[JobShape, Lane], Answers] = {}
        self._warmth: Warmth | None = None
        #: The queues of each lane that was asked for what takes nothing of a node.
        self._by_load: dict[Lane, LoadOrder] = {}
        self._worth = Worth(())
        self._version = -1
        self._largest = max((d.vram.limit for node in self._nodes for d in node.devices.values()), default=0)
        for node in self._nodes:
            self.moved(node)

    def settle(self) -> None:
        """The mix as the next question will see it."""
        self._mix.settle(self._largest)

    # ── the question ──────────────────────────────────────────────────────────────────────────────────────

    def find(self, demand: Demand, lets: Lets = anywhere, job_id: str = "") -> Place | None:
        kind = kind_of(demand)
        if not (any(kind.own) or kind.vram):
            return self._idlest(demand, lets)
        if len(demand.of_device) > 1:
            return self._counted(demand, lets)
        place = self._by_state(kind, demand, lets, job_id)
        if place is None and demand.lane == "gpu" and (not kind.vram or self._has_bare_devices(demand)):
            # States know devices by queues that have room: who takes nothing of a device goes to any of them,
            # and of who takes several only the first is its queue's.
            place = self._counted(demand, lets)
        return place

    def _has_bare_devices(self, demand: Demand) -> bool:
        """A device that no open queue with room stands for may be the second of a job of several."""
        return demand.devices > 1 and any(
            len(node.devices) > sum(q.is_open and q.has_room for q in node.queues.get("gpu", ()))
            for node in self._nodes
            if len(node.devices) >= demand.devices and node.is_open
        )

    def _by_state(self, kind: JobShape, demand: Demand, lets: Lets, job_id: str) -> Place | None:
        self._renew()
        if len(self._groups) <= FEW_STATES and self._is_beyond_all(kind):
            return None
        answers = self._looked_at(kind, demand.lane)
        if demand.node is not None:
            return self._pinned(demand, answers, lets)
        if self._rule == "random":
            return self._random(demand, answers, lets, job_id)
        if self._rule == "first":
            nodes = sorted((i, choice) for choice, state in self._open(answers) for i in self._groups[state])
            return next(
                (place for i, choice in nodes if (place := self._place(i, demand, choice, lets))), None
            )
        return self._best(demand, answers, lets)

    def _best(self, demand: Demand, answers: Answers, lets: Lets) -> Place | None:
        heap, refused = answers.heap, list[tuple[Choice, NodeState]]()
        found: Place | None = None
        while heap and found is None:
            choice, state = heap[0]
            for i in self._groups.get(state, ()):
                if (found := self._place(i, demand, choice, lets)) is not None:
                    found = self._warmer(found, demand, choice, answers, lets) if demand.warm else found
                    break
            else:
                heappop(heap)
                if state in self._groups:
                    refused.append((choice, state))
                else:
                    del answers.known[state]
        for entry in refused:
            heappush(heap, entry)
        return found

    def _warmer(self, cold: Place, demand: Demand, best: Choice, answers: Answers, lets: Lets) -> Place:
        """A queue that has the job's model, where it is as soon free and not much more is lost by it."""
        kind = kind_of(demand)
        for queue in self._warm_queues(demand):
            i = self._index[queue.node]
            state = self._state[i]
            choice = None if state is None else answers.known.get(state)
            if state is None or choice is None:
                continue
            if queue.device is not None and kind.devices == 1 and queue.device.vram.free >= kind.vram:
                choice = self._weighed(state, kind, (queue.device.vram.free,), not queue.has_idle_worker)
            if choice.is_busy == best.is_busy and choice.loss <= best.loss + slack(demand):
                place = self._place(i, demand, choice, lets, queue)
                if place is not None and place.queue is queue:
                    return place
        return cold

    def _is_beyond_all(self, kind: JobShape) -> bool:
        """Does it ask more of something than any state has: then no answer need be worked out."""
        if self._most is None:
            self._most = most_of(self._groups)
        own, vram = self._most
        return kind.vram > vram or any(map(gt, kind.own, own))

    def _renew(self) -> None:
        """With other weights all answers are void."""
        self._mix.settle(self._largest)
        if self._version != self._mix.version:
            self._version = self._mix.version
            self._worth = Worth(self._mix.weights if self._rule == "least_loss" else ())
            self._answers.clear()
            self._log = list(self._groups)

    def _looked_at(self, kind: JobShape, lane: Lane) -> Answers:
        """The answers, brought up to date: only states that are new to them cost anything."""
        answers = self._answers.get((kind, lane))
        if answers is None:
            answers = self._answers[kind, lane] = Answers()
        known = answers.known
        is_far = len(self._log) - answers.seen > len(self._groups)
        for state in list(self._groups) if is_far else islice(self._log, answers.seen, None):
            if state not in known and state in self._groups:
                choice = known[state] = self._choice(state, kind, lane)
                if choice is not None:
                    heappush(answers.heap, (choice, state))
        answers.seen = len(self._log)
        return answers

    def _open(self, answers: Answers) -> list[tuple[Choice, NodeState]]:
        return [entry for entry in answers.heap if entry[1] in self._groups]

    def _idlest(self, demand: Demand, lets: Lets) -> Place | None:
        """What asks for nothing that can be packed is spread over the workers."""
        if not self._warm_queues(demand):
            order = self._by_load.get(demand.lane)
            if order is None:
                order = self._by_load[demand.lane] = LoadOrder(self._free.queues[demand.lane])
            for queue in order.all():
                if node_fits(queue.node, demand) and lets(place := Place(queue)):
                    return place
        # Denied everywhere: the word that stays is that of the last queue by number, whatever the loads are.
        queues = (
            q
            for q in self._free.queues[demand.lane]
            if q.is_open and q.has_room and node_fits(q.node, demand)
        )
        places = (Place(queue) for queue in queues)
        found = (place for place in places if lets(place))
        return min(found, key=lambda place: rank(place, demand.warm), default=None)

    def _warm_queues(self, demand: Demand) -> Sequence[QueueFree]:
        if not demand.warm:
            return ()
        self._warmth = self._warmth or Warmth(self._free)
        return self._warmth.queues(demand)

    def _counted(self, demand: Demand, lets: Lets) -> Place | None:
        """What takes more of a device than its VRAM: states do not tell whether a device has that."""
        places = (in_queue(queue, demand) for queue in self._free.queues[demand.lane] if queue.is_open)
        found = (place for place in places if place is not None and lets(place))
        return min(found, key=lambda place: rank(place, demand.warm), default=None)

    def _pinned(self, demand: Demand, answers: Answers, lets: Lets) -> Place | None:
        node = self._free.nodes.get(demand.node or "")
        state = None if node is None else self._state[self._index[node]]
        choice = None if state is None else answers.known.get(state)
        return (
            None if node is None or choice is None else self._place(self._index[node], demand, choice, lets)
        )

    def _random(self, demand: Demand, answers: Answers, lets: Lets, job_id: str) -> Place | None:
        """Any node that fits, and any device on it that does."""
        found = self._open(answers)
        draw = crc32(f"{self._seed}:{job_id}".encode())
        left = draw % max(1, sum(len(self._groups[state]) for _, state in found))
        for choice, state in found:
            group = self._groups[state]
            if left < len(group):
                fitting = sorted(amount for amount in (*state.idle, *state.busy) if amount >= demand.vram_mib)
                if demand.devices == 1 and fitting:
                    choice = choice._replace(picks=(fitting[(draw >> 16) % len(fitting)],))
                return self._place(group[left], demand, choice, lets)
            left -= len(group)
        return None

    def _place(
        self, i: int, demand: Demand, choice: Choice, lets: Lets, queue: QueueFree | None = None
    ) -> Place | None:
        """`queue`: the one to take where several would do."""
        node = self._nodes[i]
        # Of what is counted by name, the state of the node says nothing.
        if not node_fits(node, demand):
            return None
        devices = pick(node, choice.picks, queue)
        queue = queue_for(node, demand, devices)
        if queue is None:
            return None
        place = Place(queue, devices)
        return place if lets(place) else None

    # ── its answer for a state ────────────────────────────────────────────────────────────────────────────

    def _choice(self, state: NodeState, kind: JobShape, lane: Lane) -> Choice | None:
        # Of what is not asked there may be less than nothing: others use more than is left.
        if kind.vram and is_beyond_devices(state, kind.vram):
            return None
        for has, need in zip(state.own, kind.own, strict=False):
            if need and not need <= has < INFINITE:
                return None
        if not kind.vram or (lane == "gpu" and not state.idle and not state.busy):
            openness = state.lanes[LANES.index(lane)]
            return self._weighed(state, kind, (), openness < 2) if openness else None
        options = picks_of(state, kind)
        return min((self._weighed(state, kind, picks, is_busy) for picks, is_busy in options), default=None)

    def _weighed(self, state: NodeState, kind: JobShape, picks: tuple[int, ...], is_busy: bool) -> Choice:
        vram = sorted((*state.idle, *state.busy))
        after = list(vram)
        for amount in picks:
            after[after.index(amount)] -= kind.vram
        after.sort()
        own = tuple(map(sub, state.own, kind.own))
        loss = self._worth.of(state.own, tuple(vram)) - self._worth.of(own, tuple(after))
        return Choice(is_busy, round(loss, 3), sum(after), own[TIE_BREAK], picks)

    # ── what changes ──────────────────────────────────────────────────────────────────────────────────────

    def took(self, place: Place) -> None:
        node, queue = place.node, place.queue
        before = self._state[self._index[node]]
        if (
            not place.devices
            and before is not None
            and queue.has_room
            and queue.active != queue.workers
            and before.own == node.own_free()
        ):
            # Of a thousand short jobs most change nothing but how busy one queue is.
            for order in self._by_load.values():
                order.moved(node)
        else:
            self.moved(node)

    def read_again(self, node: NodeFree) -> None:
        self._warmth = None  # its queues are other objects now
        for order in self._by_load.values():
            order.read_again(node)
        self.moved(node)

    def moved(self, node: NodeFree) -> None:
        for order in self._by_load.values():
            order.moved(node)
        i = self._index[node]
        before, after = self._state[i], state_of(node)
        if before == after:
            return
        self._state[i] = after
        self._most = None
        if before is not None:
            group = self._groups[before]
            del group[bisect_left(group, i)]
            if not group:
                del self._groups[before]
        if after is not None:
            group = self._groups.get(after)
            if group is None:
                self._groups[after] = [i]
                self._log.append(after)
                self._shorten()
            else:
                insort(group, i)

    def _shorten(self) -> None:
        """States come and go: the log is begun anew when it is long, and who looks at it looks at all of
        it once.
        """
        if len(self._log) > LONGEST_LOG + 2 * len(self._groups):
            self._log = list(self._groups)
            for answers in self._answers.values():
                answers.seen = 0


def pick(node: NodeFree, amounts: Sequence[int], first: QueueFree | None = None) -> tuple[DeviceFree, ...]:
    """Devices with just so much free, `first` before the others, idle ones before busy ones."""
    if not amounts:
        return ()
    queues = [q for q in node.queues.get("gpu", ()) if q.device is not None and q.is_open and q.has_room]
    queues.sort(key=lambda q: (q is not first, not q.has_idle_worker))
    chosen: list[DeviceFree] = []
    for amount in amounts:
        for queue in queues:
            device = queue.device
            if device is None or (len(amounts) > 1 and device.is_slice):
                continue
            if device.vram.free == amount and device not in chosen:
                chosen.append(device)
                break
    return tuple(chosen)


def queue_for(node: NodeFree, demand: Demand, devices: Sequence[DeviceFree]) -> QueueFree | None:
    """The queue of its first device; without devices the idlest of its lane."""
    able = [q for q in node.queues.get(demand.lane, ()) if q.is_open and q.has_room]
    if demand.lane == "gpu":
        able = [q for q in able if (q.device is devices[0] if devices else q.device is None)]
    return min(able, key=lambda q: (not q.has_idle_worker, q.active / q.workers), default=None)
