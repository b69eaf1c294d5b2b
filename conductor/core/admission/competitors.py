"""Whose share a backlog may claim: of those that ask for parts of the same, at its priority or below.

Room that comes free in small pieces goes to those who ask for little, so a backlog of large jobs would be
served for as long only as its jobs happen to fit. Once all its competitors have used more, by the weights,
than it will have used with its next job, a place is kept for that job: from then on it is behind its share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from conductor.core.capacity.request import Demand
from conductor.core.ordering.turns import ClassTurn, Turns
from conductor.model.snapshot import Candidate, JobClass


class Competitors:
    """Of one tick. Costs nothing where one backlog waits."""

    def __init__(
        self,
        turns: Turns,
        candidates: Sequence[Candidate],
        demand: Callable[[JobClass], Demand],
        bits: Callable[[Demand], int],
    ) -> None:
        #: Backlogs that started something, or wait for nothing but room.
        self.competing: set[str] = set()
        self._turns, self._candidates, self._demand, self._bits = turns, candidates, demand, bits
        #: Backlog → level → kinds of resources that its jobs there take a part of; made when it is asked for.
        self._asked: dict[str, dict[int, int]] | None = None
        #: (Backlog, level, kinds of resources) → the least that a competitor has used; until the next start.
        self._least: dict[tuple[str, int, int], float] = {}

    def started(self, backlog: str) -> None:
        self.competing.add(backlog)
        self._least.clear()

    def owe(self, turn: ClassTurn, demand: Demand) -> bool:
        """Have all competitors used more than its backlog will have used with this job, and is there one."""
        shares, own = self._turns.shares, turn.job_class.backlog
        if shares.is_even:
            return False
        key = (own, turn.level, self._bits(demand))
        least = self._least.get(key)
        if least is None:
            least = self._least[key] = min(map(shares.of, self._of(*key)), default=math.inf)
        # With a job more it is none the less: most classes are told so by the first.
        return shares.of(own) < least < math.inf and shares.with_one_more(turn.job_class) < least

    def _of(self, own: str, level: int, bits: int) -> Iterator[str]:
        for backlog, levels in self._asked_for().items():
            if backlog != own and any(at >= level and asked & bits for at, asked in levels.items()):
                yield backlog

    def _asked_for(self) -> dict[str, dict[int, int]]:
        if self._asked is None:
            self._asked = {}
            for candidate in self._candidates:
                job_class, heads = candidate.job_class, candidate.heads
                if heads:
                    level = self._turns.ages.level(job_class.priority, heads[0])
                    levels = self._asked.setdefault(job_class.backlog, {})
                    levels[level] = levels.get(level, 0) | self._bits(self._demand(job_class))
        return self._asked
