"""One order of waiting jobs played to the end on what is free, with the estimated durations; nothing more
arrives.

A tick plays up to twenty orders of up to two hundred jobs. All of them go through the same few states of the
same nodes, so what a state turns into is worked out once; and the jobs of an order are the bits of a number,
the first in front, so that those which fit now are found without a look at the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from operator import add, gt, le, sub
from typing import NamedTuple

from conductor.core.capacity.resources import Steps

#: More than the sum of so many floating-point numbers can be off, as a part of it.
ROUNDED = 1e-12
NEVER = float("inf")


class TrialJob(NamedTuple):
    """One waiting job. `own`: of each resource of its node, as `resources.NODE` has them; `vram`: MiB of each
    of `devices`.
    """

    id: str
    since: float
    duration_s: float
    own: Steps
    devices: int
    vram: int


class TrialNeed(NamedTuple):
    """What a job asks, in the words of `TrialJob`."""

    own: Steps
    devices: int
    vram: int


class TrialRunning(NamedTuple):
    ends_at: float
    node: int
    devices: tuple[int, ...]
    own: Steps
    vram: int


class Room(NamedTuple):
    """What is free on a node: of each of its resources (of what is not known: without end), and of each
    device's VRAM.
    """

    own: tuple[float, ...]
    vram: tuple[int, ...]

    def devices_for(self, need: TrialNeed | TrialJob) -> tuple[int, ...] | None:
        """The tightest devices that would do; None: it does not fit."""
        if any(map(gt, need.own, self.own)):
            return None
        if not need.vram:
            return ()
        fitting = sorted([(free, i) for i, free in enumerate(self.vram) if free >= need.vram])
        return tuple([i for _, i in fitting[: need.devices]]) if len(fitting) >= need.devices else None

    def less(self, devices: Sequence[int], own: Steps, vram: int) -> Room:
        left = [free - vram * (i in devices) for i, free in enumerate(self.vram)]
        return Room(tuple(map(sub, self.own, own)), tuple(left) if devices else self.vram)

    def more(self, devices: Sequence[int], own: Steps, vram: int) -> Room:
        left = [free + vram * (i in devices) for i, free in enumerate(self.vram)]
        return Room(tuple(map(add, self.own, own)), tuple(left) if devices else self.vram)


class RoomState:
    """A state that a node comes into, and where the next steps lead from there."""

    __slots__ = ("after", "before", "fits", "room")

    def __init__(self, room: Room, fits: int) -> None:
        self.room = room
        #: The needs that fit, as bits.
        self.fits = fits
        #: Need → the devices it gets, and the state then.
        self.after: dict[int, tuple[tuple[int, ...], RoomState]] = {}
        #: What ends → the state then.
        self.before: dict[tuple[tuple[int, ...], Steps, int], RoomState] = {}


class Outcome(NamedTuple):
    """Of a play: the sum of all starts, and the longest wait."""

    total: float
    longest: float


#: What never fits is not for a play to judge.
WITHOUT_END = Outcome(NEVER, NEVER)


class Shadow(NamedTuple):
    """When and where the kept one starts, and what is left beside it there then."""

    at: float
    node: int
    beside: Room


class TrialStage:
    """What all plays from one moment share: the jobs, what is free and what runs now."""

    def __init__(
        self, jobs: Sequence[TrialJob], nodes: Iterable[Room], running: Iterable[TrialRunning], now: float
    ) -> None:
        self.jobs = jobs
        self.now = now
        numbers: dict[tuple[Steps, int, int], int] = {}
        #: By job: which of `needs` is its own.
        self.need_of = [numbers.setdefault(job[3:], len(numbers)) for job in jobs]
        self.needs = [TrialNeed(*need) for need in numbers]
        self.oldest = sorted(range(len(jobs)), key=lambda i: (jobs[i].since, jobs[i].id))
        self._states: dict[Room, RoomState] = {}
        self.nodes = [self._state(room) for room in nodes]
        self.running = sorted(running)

    def _state(self, room: Room) -> RoomState:
        known = self._states.get(room)
        if known is None:
            fitting = [at for at, need in enumerate(self.needs) if room.devices_for(need) is not None]
            known = self._states[room] = RoomState(room, sum([1 << at for at in fitting]))
        return known

    def taken(self, state: RoomState, number: int) -> tuple[tuple[int, ...], RoomState]:
        """The devices that a need which fits gets there, and the state then."""
        known = state.after.get(number)
        if known is None:
            need = self.needs[number]
            devices = state.room.devices_for(need)
            assert devices is not None, "it was asked whether it fits"
            left = self._state(state.room.less(devices, need.own, need.vram))
            known = state.after[number] = (devices, left)
        return known

    def given_back(self, state: RoomState, devices: tuple[int, ...], own: Steps, vram: int) -> RoomState:
        key = (devices, own, vram)
        known = state.before.get(key)
        if known is None:
            known = state.before[key] = self._state(state.room.more(*key))
        return known

    def play(
        self, order: Sequence[int], keeps_first: bool = False, within: Outcome = WITHOUT_END
    ) -> Outcome | None:
        """`order`: numbers of jobs; `keeps_first`: a place is kept free for the first of them while it does
        not fit. None: some job waits longer, or the sum of starts is larger, than `within`; it is given up
        once that is certain.
        """
        return TrialPlay(self, order, keeps_first).outcome(within)


class TrialPlay:
    """One play. The jobs that wait are bits by their place in the order."""

    def __init__(self, stage: TrialStage, order: Sequence[int], keeps_first: bool) -> None:
        self._stage, self._order, self._keeps_first = stage, order, keeps_first
        self._nodes, self._now = list(stage.nodes), stage.now
        #: A heap: it comes sorted.
        self._going: list[tuple[float, int, tuple[int, ...], Steps, int]] = list(stage.running)
        self._left = (1 << len(order)) - 1
        self._of_need = [0] * len(stage.needs)
        for place, number in enumerate(order):
            self._of_need[stage.need_of[number]] |= 1 << place
        #: Needs, as bits → the jobs that have them.
        self._of_needs: dict[int, int] = {}
        self._has_begun = bytearray(len(order))

    def outcome(self, within: Outcome) -> Outcome | None:
        jobs, oldest, going, begun = self._stage.jobs, self._stage.oldest, self._going, self._has_begun
        total = longest = 0.0
        total_within, next_oldest, left = within.total * (1 + ROUNDED), 0, len(jobs)
        while True:
            if able := self._able(self._left):
                count, since = self._start(able)
                left -= count
                total += count * self._now
                if count:
                    longest = max(longest, self._now - since)
            if not left:
                return Outcome(total, longest)
            if not going:
                return WITHOUT_END
            at = self._now = going[0][0]
            while begun[oldest[next_oldest]]:
                next_oldest += 1
            # Nobody who is left starts any sooner.
            if at - jobs[oldest[next_oldest]].since > within.longest or total + left * at > total_within:
                return None
            self._end(at)

    def _end(self, at: float) -> None:
        going, nodes, given_back = self._going, self._nodes, self._stage.given_back
        while going and going[0][0] <= at:
            _, node, devices, own, vram = heappop(going)
            nodes[node] = given_back(nodes[node], devices, own, vram)

    def _able(self, among: int) -> int:
        """Those of them that fit now."""
        needs = 0
        for state in self._nodes:
            needs |= state.fits
        known = self._of_needs.get(needs)
        if known is None:
            known = 0
            for number, jobs in enumerate(self._of_need):
                if needs >> number & 1:
                    known |= jobs
            self._of_needs[needs] = known
        return known & among

    def _start(self, able: int) -> tuple[int, float]:
        """Start what fits, in order: how many, and since when the oldest of them waited. What does not fit
        now does not fit later in the same moment either."""
        stage, nodes, now, since, count = self._stage, self._nodes, self._now, NEVER, 0
        shadow = self._shadow() if self._keeps_first and self._left & 1 and not able & 1 else None
        while able:
            bit = able & -able
            able ^= bit
            number = self._order[bit.bit_length() - 1]
            need, job = stage.need_of[number], stage.jobs[number]
            if shadow is None:
                node = 0
                while not nodes[node].fits >> need & 1:
                    node += 1
            else:
                node, shadow = self._beside(need, now + job.duration_s, shadow)
                if node is None:
                    continue
            devices, nodes[node] = stage.taken(nodes[node], need)
            heappush(self._going, (now + job.duration_s, node, devices, job.own, job.vram))
            self._left ^= bit
            self._has_begun[number] = 1
            count += 1
            since = min(since, job.since)
            able = able and self._able(able)
        return count, since

    def _beside(self, number: int, ends_at: float, shadow: Shadow) -> tuple[int | None, Shadow]:
        """A node on which it does not delay the kept one, and what is left beside that one then."""
        stage, beside = self._stage, shadow.beside
        for node, state in enumerate(self._nodes):
            if not state.fits >> number & 1:
                continue
            if node != shadow.node or ends_at <= shadow.at:
                return node, shadow
            need, (devices, _) = stage.needs[number], stage.taken(state, number)
            if all(map(le, need.own, beside.own)) and all(beside.vram[i] >= need.vram for i in devices):
                return node, shadow._replace(beside=beside.less(devices, need.own, need.vram))
        return None, shadow

    def _shadow(self) -> Shadow | None:
        """What goes ends one after the other, until the first of the order fits."""
        stage, nodes, number = self._stage, list(self._nodes), self._stage.need_of[self._order[0]]
        for at, node, devices, own, vram in sorted(self._going):
            state = nodes[node] = stage.given_back(nodes[node], devices, own, vram)
            # It fitted nowhere before.
            if state.fits >> number & 1:
                return Shadow(at, node, stage.taken(state, number)[1].room)
        return None
