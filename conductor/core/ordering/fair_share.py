"""Fair share between backlogs: whoever has used least, by its weight, goes first.

A job uses its part of the whole for as long as it takes: the largest part that it has of anything (VRAM, a
resource of the nodes, the workers of its lane, a counter), or what it takes of the budget of an API,
whichever is more. It counts in full when it starts, by its estimate, and what it really took once it has
ended; so weights hold whatever the sizes of jobs are, and where only one of them runs at a time. This is
start-time fair queueing (Goyal, Vin and Cheng 1996) over the dominant share (Ghodsi and others 2011).

What was used before is remembered as long as somebody else waited who has not had as much: a backlog that
comes back from an idle hour has saved up nothing. With a half-life it is remembered whoever waited, and
fades.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import log

from conductor.core.capacity.cluster import Free
from conductor.core.capacity.counters import counts_of
from conductor.core.capacity.resources import charge_key
from conductor.core.ordering.orders import Sizes
from conductor.core.rates.budget_part import budget_part_s
from conductor.model.limits import Limits
from conductor.model.snapshot import BacklogUse, Candidate, JobClass, Reservation
from conductor.model.spec import Lane

#: Of a job that gave no estimate: so much of its part counts in advance.
UNKNOWN_S = 60.0

NO_USE = BacklogUse()


class LargestPart:
    """The largest part of anything that a job takes, from 0 to 1."""

    def __init__(self, free: Free) -> None:
        self._free = free
        self._sizes = Sizes(free)
        self._counters = free.limits.counters
        self._most = {
            charge_key(name, ""): rule.limit for name, rule in self._counters.items() if rule.per == "cluster"
        }

    def of_reservation(self, r: Reservation) -> float:
        part = max(self._sizes.of_reservation(r), self._of_lane(r.lane))
        return max(part, self._of_counters(r.held.items())) if r.held else part

    def of_class(self, job_class: JobClass) -> float:
        part = max(self._sizes.of_class(job_class), self._of_lane(job_class.lane))
        counted = [(charge_key(name, ""), n) for name, n in counts_of(job_class, self._counters).items()]
        return max(part, self._of_counters(counted)) if counted else part

    def _of_counters(self, held: Iterable[tuple[str, int]]) -> float:
        """Of those of the whole cluster; of a place, their part is that of the place."""
        return max([amount / most for key, amount in held if (most := self._most.get(key))], default=0.0)

    def _of_lane(self, lane: Lane) -> float:
        workers = self._free.places[lane]
        return 1 / workers if workers else 0.0


class Shares:
    """What each backlog has used, by its weight, in this tick. Costs nothing while there is only one."""

    def __init__(self, candidates: Iterable[Candidate], free: Free, limits: Limits) -> None:
        self._free, self._weights, self._half_life_s = free, limits.weights, limits.half_life_s
        self._waiting = {c.job_class.backlog for c in candidates}
        used = free.snapshot.used
        self.is_even = len(self._waiting) < 2 and not used and self._half_life_s is None
        if self.is_even:
            return
        self._part = LargestPart(free)
        self._work, left_s = free.work_of_backlogs(self._part.of_reservation, UNKNOWN_S)
        #: Backlog → seconds of the whole: behind it, and with what is under way to its end.
        self._used = {backlog: self._until_now(use) for backlog, use in used.items()}
        self._charged = dict(self._used)
        for backlog, seconds in left_s.items():
            self._charged[backlog] = self._charged.get(backlog, 0.0) + seconds

    def of(self, backlog: str) -> float:
        """The smaller goes first."""
        return 0.0 if self.is_even else self._charged.get(backlog, 0.0) / self._weight(backlog)

    def without(self, backlog: str, over: Iterable[Reservation]) -> float:
        """Once these have ended, now."""
        if self.is_even:
            return 0.0
        left_s = sum([self._left_s(r) for r in over if r.backlog == backlog])
        return self.of(backlog) - left_s / self._weight(backlog)

    def with_one_more(self, job_class: JobClass) -> float:
        """What its backlog would have used with one more job of this class."""
        cost_s = self._part.of_class(job_class) * (job_class.duration_s or UNKNOWN_S)
        asked = {key: (need.requests, need.tokens) for key, need in job_class.needs.rates.items()}
        cost_s = max(cost_s, budget_part_s(asked, self._free.snapshot.rates))
        return self.of(job_class.backlog) + cost_s / self._weight(job_class.backlog)

    def admitted(self, reservation: Reservation, rates: dict[str, tuple[int, int]]) -> None:
        if self.is_even:
            return
        backlog = reservation.backlog
        cost_s = self._part.of_reservation(reservation) * (reservation.expected_s or UNKNOWN_S)
        # A budget is used in the moment of the start, and no reservation holds it afterwards.
        beyond_s = max(0.0, budget_part_s(rates, self._free.snapshot.rates) - cost_s) if rates else 0.0
        self._used[backlog] = self._used.get(backlog, 0.0) + beyond_s
        self._charged[backlog] = self._charged.get(backlog, 0.0) + cost_s + beyond_s

    def left(self, competing: Collection[str]) -> dict[str, BacklogUse]:
        """For the next tick, after the last admission. `competing`: those that started something, or wait for
        nothing but room."""
        if self.is_even:
            return {}
        least = 0.0
        if self._half_life_s is None and competing:
            least = min([self._used.get(backlog, 0.0) / self._weight(backlog) for backlog in competing])
        found: dict[str, BacklogUse] = {}
        for backlog in sorted({*self._used, *self._waiting, *self._charged}):
            used_s = max(0.0, self._used.get(backlog, 0.0) - least * self._weight(backlog))
            share = self._work.held(backlog)
            if used_s or share:
                found[backlog] = BacklogUse(used_s=used_s, at=self._free.now, share=share)
        is_one = len(self._waiting | found.keys()) < 2 and self._half_life_s is None
        return {} if is_one else found

    def _weight(self, backlog: str) -> float:
        return self._weights.get(backlog, 1.0)

    def _until_now(self, use: BacklogUse) -> float:
        passed_s = max(0.0, self._free.now - use.at)
        if self._half_life_s is None:
            return use.used_s + use.share * passed_s
        kept = 0.5 ** (passed_s / self._half_life_s)
        return use.used_s * kept + use.share * self._half_life_s / log(2) * (1 - kept)

    def _left_s(self, r: Reservation) -> float:
        if r.expected_s <= 0:
            return self._part.of_reservation(r) * UNKNOWN_S
        begun = r.started_at or self._free.now
        return self._part.of_reservation(r) * max(0.0, begun + r.expected_s + r.frozen_s - self._free.now)
