"""Fair share between backlogs: who holds the smallest part of what it holds most of, by weight, goes first.

The part is that of the scarcest resource (dominant share): VRAM, a resource of the nodes, or the places of a
lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.core.capacity.cluster import Free
from conductor.core.capacity.in_flight import Going
from conductor.model.snapshot import Candidate, JobClass, Reservation

#: (dominant share ÷ weight, jobs going ÷ weight): the smaller goes first.
Share = tuple[float, float]
NOTHING: Share = (0.0, 0.0)


class Shares:
    """What each backlog holds in this tick. Costs nothing while there is only one."""

    def __init__(self, candidates: Iterable[Candidate], free: Free, weights: Mapping[str, float]) -> None:
        backlog_of = {c.job_class.id: c.job_class.backlog for c in candidates}
        self._weights = weights
        self._held: dict[str, Going] = {}
        self._shares: dict[str, Share] = {}
        self.is_even = len(set(backlog_of.values())) < 2
        if self.is_even:
            return
        self._whole = [*map(float, free.whole), *map(float, free.places.values())]
        for (backlog, class_id), going in free.reservations.going.items():
            if going.count and (backlog := backlog or backlog_of.get(class_id, "")):
                self._of(backlog).merge(going)
        for backlog in self._held:
            self._renew(backlog)

    def of(self, backlog: str) -> Share:
        return self._shares.get(backlog, NOTHING)

    def without(self, backlog: str, over: Iterable[Reservation]) -> Share:
        """Once these have ended."""
        held = self._held.get(backlog)
        if held is None:
            return NOTHING
        left = Going()
        left.merge(held)
        for reservation in over:
            if reservation.backlog == backlog:
                left.add(reservation, -1)
        return self._share(backlog, left)

    def admitted(self, job_class: JobClass, reservation: Reservation) -> None:
        if not self.is_even:
            self._of(job_class.backlog).add(reservation)
            self._renew(job_class.backlog)

    def _of(self, backlog: str) -> Going:
        held = self._held.get(backlog)
        if held is None:
            held = self._held[backlog] = Going()
        return held

    def _renew(self, backlog: str) -> None:
        self._shares[backlog] = self._share(backlog, self._held[backlog])

    def _share(self, backlog: str, held: Going) -> Share:
        amounts = (*held.amounts, *held.lanes.values())
        share = max([amount / whole for amount, whole in zip(amounts, self._whole, strict=True) if whole])
        weight = self._weights.get(backlog, 1.0)
        return share / weight, held.count / weight
