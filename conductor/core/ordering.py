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


class Turns:
    """The classes in order. A class that was admitted from goes back in with its next head."""

    def __init__(self, candidates: Iterable[Candidate], reservations: Iterable[Reservation]) -> None:
        turns = [Turn(candidate) for candidate in candidates]
        self._going: dict[str, int] = {}
        backlog_of = {turn.job_class.id: turn.job_class.backlog for turn in turns}
        for reservation in reservations:
            if (backlog := backlog_of.get(reservation.class_id)) is not None:
                self._going[backlog] = self._going.get(backlog, 0) + 1
        self._heap = [(self._key(turn, head), turn) for turn in turns if (head := turn.head) is not None]
        heapify(self._heap)

    def _key(self, turn: Turn, head: Head) -> tuple[int, int, float, str]:
        job_class = turn.job_class
        return (-job_class.priority, self._going.get(job_class.backlog, 0), head.since, job_class.id)

    def next(self) -> Turn | None:
        while self._heap:
            key, turn = heappop(self._heap)
            head = turn.head
            assert head is not None, "only turns with a head are queued"
            current = self._key(turn, head)
            if current == key:
                return turn
            heappush(self._heap, (current, turn))  # its backlog was served meanwhile: later, then
        return None

    def admitted(self, turn: Turn) -> None:
        backlog = turn.job_class.backlog
        self._going[backlog] = self._going.get(backlog, 0) + 1
        turn.admitted += 1
        if (head := turn.head) is not None:
            heappush(self._heap, (self._key(turn, head), turn))
