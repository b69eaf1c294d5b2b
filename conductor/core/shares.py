"""Fair share between backlogs: who holds the smallest part of what it holds most of, by weight, goes first.

The part is that of the scarcest resource (dominant share): VRAM, cores, RAM, or the places of a lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.core.free import Free
from conductor.model.snapshot import Candidate, JobClass, Reservation

#: (dominant share ÷ weight, jobs going ÷ weight): the smaller goes first.
Share = tuple[float, float]
NOTHING: Share = (0.0, 0.0)


class Shares:
    """What each backlog holds in this tick. Costs nothing while there is only one."""

    def __init__(self, candidates: Iterable[Candidate], free: Free, weights: Mapping[str, float]) -> None:
        backlog_of = {c.job_class.id: c.job_class.backlog for c in candidates}
        self._weights = weights
        self._held: dict[str, list[float]] = {}
        self._shares: dict[str, Share] = {}
        self.is_even = len(set(backlog_of.values())) < 2
        if self.is_even:
            return
        places = [float(sum(q.workers + q.depth for q in queues)) for queues in free.queues.values()]
        self._whole = [*map(float, free.whole), *places]
        self._lane_at = {lane: 3 + i for i, lane in enumerate(free.queues)}
        for r in free.reservations():
            if backlog := r.backlog or backlog_of.get(r.class_id, ""):
                self._add(backlog, r)

    def of(self, backlog: str) -> Share:
        return self._shares.get(backlog, NOTHING)

    def admitted(self, job_class: JobClass, reservation: Reservation) -> None:
        if not self.is_even:
            self._add(job_class.backlog, reservation)

    def _add(self, backlog: str, r: Reservation) -> None:
        held = self._held.setdefault(backlog, [0.0] * (len(self._whole) + 1))
        held[0] += r.vram_mib * len(r.devices)
        held[1] += r.cpu * 1000
        held[2] += r.ram_mib
        held[self._lane_at[r.lane]] += 1
        held[-1] += 1
        weight = self._weights.get(backlog, 1.0)
        share = max(amount / whole for amount, whole in zip(held, self._whole, strict=False) if whole)
        self._shares[backlog] = (share / weight, held[-1] / weight)
