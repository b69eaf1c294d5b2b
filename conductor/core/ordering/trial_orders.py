"""Several orders played to the end on what is free, with the estimated durations: the best mean wins, as long
as nobody waits longer than the oldest-first order would make somebody wait (or than somebody has waited
before).

So shortest-first is followed where it harms nobody, and given up job by job where it would. Nothing is tuned
to a workload: the limit is the wait that the plain order itself would bring, from this very moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from operator import add, gt, le, sub
from typing import NamedTuple

from conductor.core.capacity.resources import Steps

#: So much waiting is played through; more would cost too much of a tick.
MOST_ITEMS = 192
MOST_NODES = 8
#: Seconds of duration that one second of waiting makes up for: orders between shortest and oldest.
AGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
#: One of so many of the oldest gets a place kept free.
KEPT = 8


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


class TrialRunning(NamedTuple):
    ends_at: float
    node: int
    devices: tuple[int, ...]
    own: Steps
    vram: int


class FreeAmounts:
    """What is free: of the resources of each node (what is not known: without end), and of each device's
    VRAM.
    """

    __slots__ = ("most", "own", "vram")

    def __init__(self, own: Sequence[tuple[float, ...]], vram: Sequence[Sequence[int]]) -> None:
        self.own = list(own)
        self.vram = [list(devices) for devices in vram]
        #: Of the emptiest device of each node. Most of what does not fit fails by it.
        self.most = [max(devices, default=0) for devices in vram]

    def copy(self) -> FreeAmounts:
        return FreeAmounts(self.own, self.vram)

    def place(self, item: TrialJob) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(node, devices) that would do, the tightest devices of each node."""
        for node, own in enumerate(self.own):
            if item.vram > self.most[node] or any(map(gt, item.own, own)):
                continue
            if not item.vram:
                yield node, ()
                continue
            vram = self.vram[node]
            fitting = sorted((free, i) for i, free in enumerate(vram) if free >= item.vram)
            if len(fitting) >= item.devices:
                yield node, tuple(i for _, i in fitting[: item.devices])

    def take(self, node: int, devices: Sequence[int], item: TrialJob) -> None:
        self.own[node] = tuple(map(sub, self.own[node], item.own))
        for i in devices:
            self.vram[node][i] -= item.vram
        if devices:
            self.most[node] = max(self.vram[node])

    def give_back(self, ended: TrialRunning) -> None:
        node = ended.node
        self.own[node] = tuple(map(add, self.own[node], ended.own))
        for i in ended.devices:
            self.vram[node][i] += ended.vram
        if ended.devices:
            self.most[node] = max(self.vram[node])


class Plan(NamedTuple):
    """The jobs in the order to try them, and the one that gets a place kept free if it does not fit."""

    order: tuple[TrialJob, ...]
    reserved: TrialJob | None = None


class Shadow(NamedTuple):
    """When and where the kept one starts, and what is left beside it then."""

    at: float
    node: int
    beside: FreeAmounts


def best(
    items: Sequence[TrialJob],
    room: FreeAmounts,
    running: Sequence[TrialRunning],
    now: float,
    longest_s: float,
) -> Plan:
    """The order to follow now. `longest_s`: the longest that anybody has waited so far."""
    oldest = sorted(items, key=lambda item: (item.since, item.id))
    shortest = sorted(items, key=lambda item: (item.duration_s, item.since, item.id))
    plain = Plan(tuple(oldest))
    total, longest = _outcome(plain, room, running, now)
    limit = max(longest, longest_s) + 1e-6
    chosen, chosen_total = plain, total
    for plan in _plans(oldest, shortest, now):
        total, longest = _outcome(plan, room, running, now)
        if longest <= limit and total < chosen_total:
            chosen, chosen_total = plan, total
        if plan.order == tuple(shortest) and longest <= limit:
            break  # nothing has a better mean
    return chosen


def _plans(oldest: Sequence[TrialJob], shortest: Sequence[TrialJob], now: float) -> Iterator[Plan]:
    yield Plan(tuple(shortest))
    for age in AGES:
        order = sorted(shortest, key=lambda item: item.duration_s - age * (now - item.since))
        yield Plan(tuple(order))
        yield _with_reservation(order, oldest[0])
    for item in oldest[:KEPT]:
        yield _with_reservation(shortest, item)


def _with_reservation(order: Sequence[TrialJob], reserved: TrialJob) -> Plan:
    return Plan((reserved, *(item for item in order if item is not reserved)), reserved)


def _outcome(
    plan: Plan, room: FreeAmounts, running: Sequence[TrialRunning], now: float
) -> tuple[float, float]:
    """(sum of starts, longest wait) when the plan is followed to its end and nothing more arrives."""
    room, going, left = room.copy(), list(running), list(plan.order)
    heapify(going)
    total = longest = 0.0
    while True:
        rest = _start(left, plan.reserved, room, going, now)
        total += (len(left) - len(rest)) * now
        if len(rest) < len(left):
            longest = max(longest, now - _oldest_started(left, rest))
        left = rest
        if not left:
            return total, longest
        if not going:
            return float("inf"), float("inf")  # what never fits is not for this to judge
        now = going[0].ends_at
        while going and going[0].ends_at <= now:
            ended = heappop(going)
            room.give_back(ended)


def _oldest_started(left: Sequence[TrialJob], rest: Sequence[TrialJob]) -> float:
    """Since when the oldest of those waited that are in `left` and no more in `rest`; both in the same
    order.
    """
    since, waiting = float("inf"), iter(rest)
    next_waiting = next(waiting, None)
    for item in left:
        if item is next_waiting:
            next_waiting = next(waiting, None)
        elif item.since < since:
            since = item.since
    return since


def _start(
    left: Sequence[TrialJob],
    reserved: TrialJob | None,
    room: FreeAmounts,
    going: list[TrialRunning],
    now: float,
) -> list[TrialJob]:
    """Start what fits, in order; the rest."""
    shadow: Shadow | None = None
    rest: list[TrialJob] = []
    too_large: set[tuple[Steps, int, int]] = set()
    for item in left:
        need = item[3:]
        place = None if need in too_large else next(room.place(item), None)
        if place is None:
            too_large.add(need)
            rest.append(item)
            if item is reserved:
                shadow = _shadow(item, room, going, now)
            continue
        if shadow is not None:
            place = _beside(item, shadow, room, now)
            if place is None:
                rest.append(item)
                continue
        node, devices = place
        room.take(node, devices, item)
        heappush(going, TrialRunning(now + item.duration_s, node, devices, item.own, item.vram))
    return rest


def _beside(
    item: TrialJob, shadow: Shadow, room: FreeAmounts, now: float
) -> tuple[int, tuple[int, ...]] | None:
    """A place that does not delay the kept one."""
    for node, devices in room.place(item):
        if node != shadow.node or now + item.duration_s <= shadow.at:
            return node, devices
        beside = shadow.beside
        if all(map(le, item.own, beside.own[node])) and all(
            beside.vram[node][i] >= item.vram for i in devices
        ):
            beside.take(node, devices, item)
            return node, devices
    return None


def _shadow(item: TrialJob, room: FreeAmounts, going: Iterable[TrialRunning], now: float) -> Shadow | None:
    later = room.copy()
    for ended in sorted(going):
        later.give_back(ended)
        if (place := next(later.place(item), None)) is not None:
            later.take(place[0], place[1], item)
            return Shadow(ended.ends_at, place[0], later)
    return None
