"""Where an attempt goes so that the least is lost to the others: capacity that no usual job could use any more.

A node is worth what it could still give: for every usual kind of job, weighted by how many there are, the VRAM that
it would take here if the node were filled with that kind alone. The place with the least loss of worth is taken.
Nodes in the same state get the same answer, and states are few: the work follows the states, not the nodes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop
from typing import NamedTuple
from zlib import crc32

from conductor.core.ask import Ask
from conductor.core.free import DeviceFree, Free, NodeFree, QueueFree
from conductor.core.placement import Lets, Place, anywhere, disks_fit, node_fits, rank
from conductor.model.limits import PlaceRule
from conductor.model.spec import LANES, Lane

#: So many kinds of jobs are thought of, those that make up most.
MOST_KINDS = 48
#: A share of a device is easier to lose than a whole one: its kinds count so many times.
WEIGHT_OF_SHARES = 5.0
#: The kinds are looked at anew when so much more was seen than the last time.
GROWTH = 1.25

INFINITE = float("inf")


class Kind(NamedTuple):
    """What one sort of job takes; `vram` per device."""

    cpu: int
    ram: int
    devices: int
    vram: int


class Mix:
    """Which kinds of jobs are usual: what waits, what runs, and what was seen before."""

    def __init__(self) -> None:
        self._seen: Counter[Kind] = Counter()
        self._total = 0.0
        self._next = 0.0
        self.weights: tuple[tuple[Kind, float], ...] = ()
        #: Goes up whenever `weights` changes: what was worked out from the old ones is void.
        self.version = 0

    def saw(self, kind: Kind, count: float = 1) -> None:
        if kind.vram:
            self._seen[kind] += count  # pyright: ignore[reportArgumentType]
            self._total += count

    def settle(self, largest: int) -> None:
        """Bring the weights up to date where enough is new. `largest`: MiB of the largest device."""
        if self._total < self._next or not self._total:
            return
        self._next = self._total * GROWTH
        weighted = {
            kind: count / self._total * (WEIGHT_OF_SHARES if kind.devices == 1 and kind.vram < largest else 1.0)
            for kind, count in self._seen.items()
        }
        most = sorted(weighted.items(), key=lambda item: (-item[1], item[0]))[:MOST_KINDS]
        self.weights = tuple(most)
        self.version += 1


class State(NamedTuple):
    """All that a placement depends on, of one node. Devices: free MiB, the smallest first; idle ones apart."""

    cpu: int
    ram: float
    idle: tuple[int, ...]
    busy: tuple[int, ...]
    #: Per lane without devices: 0 closed, 1 open, 2 open with an idle worker.
    lanes: tuple[int, ...]


class Choice(NamedTuple):
    """How a request would best be put into a state; compared from the left."""

    is_busy: bool
    loss: float
    vram_left: int
    cpu_left: int
    picks: tuple[int, ...]


PLAIN: tuple[Lane, ...] = tuple(lane for lane in LANES if lane != "gpu")


class Packing:
    """The rules that look at states: «least_loss», and «first» and «random» as its controls."""

    def __init__(self, free: Free, mix: Mix, rule: PlaceRule = "least_loss", seed: int = 0) -> None:
        self._free = free
        self._mix = mix
        self._rule = rule
        self._seed = seed
        self._nodes: list[NodeFree] = list(free.nodes.values())
        self._index = {node: i for i, node in enumerate(self._nodes)}
        self._state: list[State | None] = []
        self._groups: dict[State, list[int]] = {}
        self._choices: dict[tuple[State, Kind, Lane], Choice | None] = {}
        self._worth: dict[tuple[int, float, tuple[int, ...]], float] = {}
        self._version = -1
        self._largest = max((d.vram.limit for node in self._nodes for d in node.devices.values()), default=0)
        for i, node in enumerate(self._nodes):
            state = state_of(node)
            self._state.append(state)
            if state is not None:
                self._groups.setdefault(state, []).append(i)

    # ── the question ──────────────────────────────────────────────────────────────────────────────────────

    def find(self, ask: Ask, lets: Lets = anywhere, job_id: str = "") -> Place | None:
        kind = Kind(ask.cpu_milli, ask.ram_mib, ask.devices, ask.vram_mib)
        self._renew()
        if not (kind.cpu or kind.ram or kind.vram):
            return self._idlest(ask, lets)
        if ask.node is not None:
            return self._pinned(ask, kind, lets)
        found = [(choice, state) for state in self._groups if (choice := self._choice(state, kind, ask)) is not None]
        if self._rule == "random":
            return self._random(found, ask, lets, job_id)
        if self._rule == "first":
            nodes = sorted((i, choice) for choice, state in found for i in self._groups[state])
            return next((place for i, choice in nodes if (place := self._place(i, ask, choice, lets))), None)
        order = [(choice, self._groups[state][0], state) for choice, state in found]
        heapify(order)
        while order:
            choice, _, state = heappop(order)
            for i in self._groups[state]:
                if (place := self._place(i, ask, choice, lets)) is not None:
                    return place
        return None

    def _renew(self) -> None:
        self._mix.settle(self._largest)
        if self._version != self._mix.version:
            self._version = self._mix.version
            self._choices.clear()
            self._worth.clear()

    def _idlest(self, ask: Ask, lets: Lets) -> Place | None:
        """What asks for nothing that can be packed is spread over the workers."""
        queues = (q for q in self._free.queues[ask.lane] if q.is_open and q.has_room and node_fits(q.node, ask))
        places = (Place(queue) for queue in queues)
        return min((place for place in places if lets(place)), key=rank, default=None)

    def _pinned(self, ask: Ask, kind: Kind, lets: Lets) -> Place | None:
        node = self._free.nodes.get(ask.node or "")
        state = None if node is None else self._state[self._index[node]]
        if node is None or state is None or (choice := self._choice(state, kind, ask)) is None:
            return None
        return self._place(self._index[node], ask, choice, lets)

    def _random(self, found: Sequence[tuple[Choice, State]], ask: Ask, lets: Lets, job_id: str) -> Place | None:
        nodes = sorted((i, choice) for choice, state in found for i in self._groups[state])
        while nodes:
            draw = crc32(f"{self._seed}:{job_id}:{len(nodes)}".encode())
            i, choice = nodes.pop(draw % len(nodes))
            node = self._nodes[i]
            fitting = sorted(d.vram.free for d in usable(node) if d.vram.free >= ask.vram_mib)
            if ask.devices == 1 and fitting:
                choice = choice._replace(picks=(fitting[(draw >> 16) % len(fitting)],))
            if (place := self._place(i, ask, choice, lets)) is not None:
                return place
        return None

    def _place(self, i: int, ask: Ask, choice: Choice, lets: Lets) -> Place | None:
        node = self._nodes[i]
        if ask.disk and not disks_fit(node, ask):
            return None
        devices = pick(node, choice.picks)
        queue = queue_for(node, ask, devices)
        if queue is None:
            return None
        place = Place(queue, devices)
        return place if lets(place) else None

    # ── its answer for a state ────────────────────────────────────────────────────────────────────────────

    def _choice(self, state: State, kind: Kind, ask: Ask) -> Choice | None:
        key = (state, kind, ask.lane)
        if key not in self._choices:
            self._choices[key] = self._best(state, kind, ask)
        return self._choices[key]

    def _best(self, state: State, kind: Kind, ask: Ask) -> Choice | None:
        if state.cpu < kind.cpu or state.ram < kind.ram or (kind.ram and state.ram == INFINITE):
            return None
        if not kind.vram or (ask.lane == "gpu" and not state.idle and not state.busy):
            return self._on_lane(state, kind, ask.lane)
        options = picks_of(state, kind)
        return min((self._weighed(state, kind, picks, is_busy) for picks, is_busy in options), default=None)

    def _on_lane(self, state: State, kind: Kind, lane: Lane) -> Choice | None:
        openness = state.lanes[LANES.index(lane)]
        return self._weighed(state, kind, (), openness < 2) if openness else None

    def _weighed(self, state: State, kind: Kind, picks: tuple[int, ...], is_busy: bool) -> Choice:
        vram = tuple(sorted((*state.idle, *state.busy)))
        after = list(vram)
        for amount in picks:
            after[after.index(amount)] -= kind.vram
        cpu, ram = state.cpu - kind.cpu, state.ram - kind.ram
        loss = self._value(state.cpu, state.ram, vram) - self._value(cpu, ram, tuple(sorted(after)))
        return Choice(is_busy, round(loss, 3), sum(after), cpu, picks)

    def _value(self, cpu: int, ram: float, vram: tuple[int, ...]) -> float:
        key = (cpu, ram, vram)
        known = self._worth.get(key)
        if known is None:
            known = self._worth[key] = worth(cpu, ram, vram, self._mix.weights)
        return known

    # ── what changes ──────────────────────────────────────────────────────────────────────────────────────

    def took(self, place: Place) -> None:
        self.moved(place.node)

    def moved(self, node: NodeFree) -> None:
        i = self._index[node]
        before, after = self._state[i], state_of(node)
        if before == after:
            return
        self._state[i] = after
        if before is not None:
            group = self._groups[before]
            del group[bisect_left(group, i)]
            if not group:
                del self._groups[before]
        if after is not None:
            insort(self._groups.setdefault(after, []), i)


def worth(cpu: int, ram: float, vram: tuple[int, ...], weights: Iterable[tuple[Kind, float]]) -> float:
    """MiB that the node could still give, on average over the kinds, each filling it alone."""
    total = 0.0
    for kind, weight in weights:
        if cpu < kind.cpu or ram < kind.ram:
            continue
        if kind.devices == 1:
            count = sum(free // kind.vram for free in vram)
        else:
            count = sum(1 for free in vram if free >= kind.vram) // kind.devices
        if kind.cpu:
            count = min(count, cpu // kind.cpu)
        if kind.ram and ram != INFINITE:
            count = min(count, int(ram // kind.ram))
        total += weight * count * kind.devices * kind.vram
    return total


def picks_of(state: State, kind: Kind) -> Iterable[tuple[tuple[int, ...], bool]]:
    """(free MiB of the devices taken, is one of them busy), one for each choice that makes a difference."""
    if kind.devices == 1:
        for group, is_busy in ((state.idle, False), (state.busy, True)):
            for amount in dict.fromkeys(group):
                if amount >= kind.vram:
                    yield (amount,), is_busy
        return
    idle = [amount for amount in state.idle if amount >= kind.vram]
    busy = [amount for amount in state.busy if amount >= kind.vram]
    if len(idle) + len(busy) >= kind.devices:
        taken = [*idle, *busy][: kind.devices]
        yield tuple(taken), len(idle) < kind.devices


def usable(node: NodeFree) -> list[DeviceFree]:
    return [q.device for q in node.queues.get("gpu", ()) if q.device is not None and q.is_open and q.has_room]


def state_of(node: NodeFree) -> State | None:
    """None where nothing is placed now, however much is free."""
    if not node.is_open:
        return None
    idle, busy = list[int](), list[int]()
    lanes = [0] * len(LANES)
    for at, lane in enumerate(LANES):
        for queue in node.queues.get(lane, ()):
            if not (queue.is_open and queue.has_room):
                continue
            if queue.device is not None:
                (idle if queue.has_idle_worker else busy).append(queue.device.vram.free)
            else:
                lanes[at] = max(lanes[at], 2 if queue.has_idle_worker else 1)
    ram = INFINITE if node.ram is None else node.ram.free
    return State(node.cpu.free, ram, tuple(sorted(idle)), tuple(sorted(busy)), tuple(lanes))


def pick(node: NodeFree, amounts: Sequence[int]) -> tuple[DeviceFree, ...]:
    """Devices with just so much free, idle ones first."""
    if not amounts:
        return ()
    queues = [q for q in node.queues.get("gpu", ()) if q.device is not None and q.is_open and q.has_room]
    queues.sort(key=lambda q: not q.has_idle_worker)
    chosen: list[DeviceFree] = []
    for amount in amounts:
        for queue in queues:
            device = queue.device
            if device is not None and device.vram.free == amount and device not in chosen:
                chosen.append(device)
                break
    return tuple(chosen)


def queue_for(node: NodeFree, ask: Ask, devices: Sequence[DeviceFree]) -> QueueFree | None:
    """The queue of its first device; without devices the idlest of its lane."""
    able = [q for q in node.queues.get(ask.lane, ()) if q.is_open and q.has_room]
    if ask.lane == "gpu":
        able = [q for q in able if (q.device is devices[0] if devices else q.device is None)]
    return min(able, key=lambda q: (not q.has_idle_worker, q.active / q.workers), default=None)
