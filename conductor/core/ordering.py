"""Whose turn it is: priority first, then the backlog that has least going, then the key of the rule in force.

`Turns` hands out one class at a time, with one of its heads, and is told what became of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from conductor.core.orders import Key, Orders
from conductor.model.snapshot import Candidate, Head, JobClass, Reservation


class Turn:
    """A class with waiting jobs, and how many of its heads were admitted in this tick."""

    __slots__ = ("admitted", "candidate", "heads")

    def __init__(self, candidate: Candidate, orders: Orders) -> None:
        self.candidate = candidate
        self.admitted = 0
        #: The next one is the last. They differ by more than age only where they belong to chains.
        self.heads = list(candidate.heads[::-1])
        if orders.has_chains and len(self.heads) > 1:
            self.heads.sort(key=lambda head: orders.key(candidate.job_class, head), reverse=True)

    @property
    def job_class(self) -> JobClass:
        return self.candidate.job_class

    @property
    def head(self) -> Head | None:
        return self.heads[-1] if self.heads else None


class Group:
    """The classes of one backlog and priority, the smallest key in front."""

    __slots__ = ("_orders", "backlog", "heap", "priority")

    def __init__(self, priority: int, backlog: str, orders: Orders) -> None:
        self.priority = priority
        self.backlog = backlog
        self._orders = orders
        self.heap: list[tuple[Key, str, Turn]] = []

    def push(self, turn: Turn, head: Head) -> None:
        heappush(self.heap, (self._orders.key(turn.job_class, head), turn.job_class.id, turn))


class Turns:
    """The classes in order. A class whose head was admitted, or passed over, goes back in with its next one."""

    def __init__(self, candidates: Iterable[Candidate], reservations: Iterable[Reservation], orders: Orders) -> None:
        groups: dict[tuple[int, str], Group] = {}
        backlog_of: dict[str, str] = {}
        for turn in (Turn(candidate, orders) for candidate in candidates):
            priority, backlog = turn.job_class.priority, turn.job_class.backlog
            backlog_of[turn.job_class.id] = backlog
            if (head := turn.head) is not None:
                groups.setdefault((priority, backlog), Group(priority, backlog, orders)).push(turn, head)
        self._going: dict[str, int] = {}
        for reservation in reservations:
            if (backlog := backlog_of.get(reservation.class_id)) is not None:
                self._going[backlog] = self._going.get(backlog, 0) + 1
        self._current: Group | None = None
        self._heap = [(self._key(group), i, group) for i, group in enumerate(groups.values())]
        heapify(self._heap)

    def _key(self, group: Group) -> tuple[int, int, Key, str]:
        key, class_id, _ = group.heap[0]
        return (-group.priority, self._going.get(group.backlog, 0), key, class_id)

    def next(self) -> Turn | None:
        self._put_back()
        while self._heap:
            key, i, group = heappop(self._heap)
            # A key only grows while its group lies in the heap: the backlog was served at another priority.
            if (current := self._key(group)) != key:
                heappush(self._heap, (current, i, group))
                continue
            self._current = group
            return heappop(group.heap)[2]
        return None

    def _put_back(self) -> None:
        group, self._current = self._current, None
        if group is not None and group.heap:
            heappush(self._heap, (self._key(group), 0, group))

    def admitted(self, turn: Turn) -> None:
        """Call it for the turn that `next` gave, before the next `next`."""
        backlog = turn.job_class.backlog
        self._going[backlog] = self._going.get(backlog, 0) + 1
        turn.admitted += 1
        self.passed_over(turn)

    def passed_over(self, turn: Turn) -> None:
        """This head is done with for now, another of its class may do."""
        turn.heads.pop()
        if (head := turn.head) is not None and self._current is not None:
            self._current.push(turn, head)
