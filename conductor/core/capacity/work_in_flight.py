"""How much work is under way: for each running attempt the time left by its estimate, times the share of the
whole that it holds.

A sum in integers, which is kept while reservations come and go: it is the same in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from conductor.model.snapshot import Reservation

SHARES = 1 << 30
MICRO = 1_000_000

#: Of a part: it has not begun, or gave no estimate; it runs; it should have ended.
AHEAD, RUNS, OVERDUE = range(3)


class Work:
    """What is overdue has nothing left, and those that gave no estimate have `unknown_s` left as long as they
    run.
    """

    def __init__(
        self,
        reservations: Iterable[Reservation],
        share: Callable[[Reservation], float],
        unknown_s: float = 0.0,
    ) -> None:
        self._share = share
        self._unknown = round(unknown_s * MICRO)
        #: Job → (its share, when it should end or, of what is ahead, how long it takes, which of the three).
        self._parts: dict[str, tuple[int, int, int]] = {}
        self._ends: list[tuple[int, str]] = []
        self._shares = self._until = self._ahead = self._held = 0
        self._now = 0
        for reservation in reservations:
            self._put(reservation)
        self._ends = [(part[1], job_id) for job_id, part in self._parts.items() if part[2] == RUNS]
        heapify(self._ends)

    def add(self, r: Reservation) -> None:
        part = self._put(r)
        if part[2] == RUNS:
            heappush(self._ends, (part[1], r.job_id))

    def _put(self, r: Reservation) -> tuple[int, int, int]:
        self.drop(r.job_id)
        share = round(self._share(r) * SHARES)
        if r.expected_s <= 0:
            part = (share, self._unknown, AHEAD)
        else:
            at = round(((r.started_at or 0.0) + r.expected_s + r.frozen_s) * MICRO)
            part = (share, at, RUNS if r.started_at else AHEAD)
        self._count(part, 1)
        self._held += share
        self._parts[r.job_id] = part
        return part

    def drop(self, job_id: str) -> None:
        part = self._parts.pop(job_id, None)
        if part is not None:
            self._count(part, -1)
            self._held -= part[0]

    def _count(self, part: tuple[int, int, int], sign: int) -> None:
        share, at, kind = part
        if kind == RUNS:
            self._shares += sign * share
            self._until += sign * share * at
        elif kind == AHEAD:
            self._ahead += sign * share * at

    @property
    def held(self) -> float:
        """The shares of all of them together, of what is overdue too."""
        return self._held / SHARES

    def left_s(self, now: float) -> float | None:
        """Seconds, if the whole were always full. None: it was asked about a later moment already."""
        at = round(now * MICRO)
        if at < self._now:
            return None
        self._now = at
        while self._ends and self._ends[0][0] <= at:
            ends_at, job_id = heappop(self._ends)
            part = self._parts.get(job_id)
            if part is not None and part[1] == ends_at and part[2] == RUNS:
                self._count(part, -1)
                self._parts[job_id] = (part[0], ends_at, OVERDUE)
        return (self._until - at * self._shares + self._ahead) / (SHARES * MICRO)


class WorkByBacklog:
    """The same of each backlog."""

    def __init__(
        self, reservations: Iterable[Reservation], share: Callable[[Reservation], float], unknown_s: float
    ) -> None:
        self._share, self._unknown_s = share, unknown_s
        self._of: dict[str, Work] = {}
        for reservation in reservations:
            self.add(reservation)

    def add(self, r: Reservation) -> None:
        work = self._of.get(r.backlog)
        if work is None:
            work = self._of[r.backlog] = Work((), self._share, self._unknown_s)
        work.add(r)

    def drop(self, r: Reservation) -> None:
        if (work := self._of.get(r.backlog)) is not None:
            work.drop(r.job_id)

    def left_s(self, now: float) -> dict[str, float] | None:
        """Backlog → seconds. None: it was asked about a later moment already."""
        found: dict[str, float] = {}
        for backlog, work in self._of.items():
            left_s = work.left_s(now)
            if left_s is None:
                return None
            found[backlog] = left_s
        return found

    def held(self, backlog: str) -> float:
        work = self._of.get(backlog)
        return 0.0 if work is None else work.held
