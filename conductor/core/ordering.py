"""Whose turn it is: priority first, then the backlog that has least going, then the oldest head.

The seam for other policies is `Turns`: it hands out one class at a time and is told what was admitted.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from conductor.model.snapshot import Candidate, Head, JobClass, Reservation


class Turn:
    """A class with waiting jobs, and how many of its heads were admitted in this tick."""

    __slots__ = ("admitted", "candidate")

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.admitted = 0

    @property
    def job_class(self) -> JobClass:
        return self.candidate.job_class

    @property
    def head(self) -> Head | None:
        heads = self.candidate.heads
        return heads[self.admitted] if self.admitted < len(heads) else None


class Group:
    """The classes of one backlog and priority, the oldest head in front."""

    __slots__ = ("backlog", "heap", "priority")

    def __init__(self, priority: int, backlog: str) -> None:
        self.priority = priority
        self.backlog = backlog
        self.heap: list[tuple[float, str, Turn]] = []

    def push(self, turn: Turn, head: Head) -> None:
        heappush(self.heap, (head.since, turn.job_class.id, turn))


class Turns:
    """The classes in order. A class that was admitted from goes back in with its next head."""

    def __init__(self, candidates: Iterable[Candidate], reservations: Iterable[Reservation]) -> None:
        groups: dict[tuple[int, str], Group] = {}
        backlog_of: dict[str, str] = {}
        for turn in map(Turn, candidates):
            priority, backlog = turn.job_class.priority, turn.job_class.backlog
            backlog_of[turn.job_class.id] = backlog
            if (head := turn.head) is not None:
                groups.setdefault((priority, backlog), Group(priority, backlog)).push(turn, head)
        self._going: dict[str, int] = {}
        for reservation in reservations:
            if (backlog := backlog_of.get(reservation.class_id)) is not None:
                self._going[backlog] = self._going.get(backlog, 0) + 1
        self._current: Group | None = None
        self._heap = [(self._key(group), group) for group in groups.values()]
        heapify(self._heap)

    def _key(self, group: Group) -> tuple[int, int, float, str]:
        since, class_id, _ = group.heap[0]
        return (-group.priority, self._going.get(group.backlog, 0), since, class_id)

    def next(self) -> Turn | None:
        self._put_back()
        while self._heap:
            key, group = heappop(self._heap)
            # A key only grows while its group lies in the heap: the backlog was served at another priority.
            if (current := self._key(group)) != key:
                heappush(self._heap, (current, group))
                continue
            self._current = group
            return heappop(group.heap)[2]
        return None

    def _put_back(self) -> None:
        group, self._current = self._current, None
        if group is not None and group.heap:
            heappush(self._heap, (self._key(group), group))

    def admitted(self, turn: Turn) -> None:
        """Call it for the turn that `next` gave, before the next `next`."""
        backlog = turn.job_class.backlog
        self._going[backlog] = self._going.get(backlog, 0) + 1
        turn.admitted += 1
        if (head := turn.head) is not None and self._current is not None:
            self._current.push(turn, head)
