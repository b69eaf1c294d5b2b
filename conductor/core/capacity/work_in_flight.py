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


class Work:
    """Those that gave no estimate count nothing, nor does what is overdue."""

    def __init__(self, reservations: Iterable[Reservation], share: Callable[[Reservation], float]) -> None:
        self._share = share
        #: Job → (its share, when it should end or, not started yet, how long it takes, has it started).
        self._parts: dict[str, tuple[int, int, bool]] = {}
        self._ends: list[tuple[int, str]] = []
        self._shares = self._until = self._unstarted = 0
        self._now = 0
        for reservation in reservations:
            self._put(reservation)
        self._ends = [(part[1], job_id) for job_id, part in self._parts.items() if part[2]]
        heapify(self._ends)

    def add(self, r: Reservation) -> None:
        if (part := self._put(r)) is not None and part[2]:
            heappush(self._ends, (part[1], r.job_id))

    def _put(self, r: Reservation) -> tuple[int, int, bool] | None:
        self.drop(r.job_id)
        if r.expected_s <= 0:
            return None
        share, has_started = round(self._share(r) * SHARES), bool(r.started_at)
        at = round(((r.started_at or 0.0) + r.expected_s + r.frozen_s) * MICRO)
        self._parts[r.job_id] = part = (share, at, has_started)
        if has_started:
            self._shares += share
            self._until += share * at
        else:
            self._unstarted += share * at
        return part

    def drop(self, job_id: str) -> None:
        part = self._parts.pop(job_id, None)
        if part is None:
            return
        share, at, has_started = part
        if has_started:
            self._shares -= share
            self._until -= share * at
        else:
            self._unstarted -= share * at

    def left_s(self, now: float) -> float | None:
        """Seconds, if the whole were always full. None: it was asked about a later moment already."""
        at = round(now * MICRO)
        if at < self._now:
            return None
        self._now = at
        while self._ends and self._ends[0][0] <= at:
            ends_at, job_id = heappop(self._ends)
            if (part := self._parts.get(job_id)) is not None and part[1] == ends_at and part[2]:
                self.drop(job_id)
        return (self._until - at * self._shares + self._unstarted) / (SHARES * MICRO)
