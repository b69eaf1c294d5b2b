"""What closes a class, or places of it, whatever is free: hours, pauses, kinds that are held back, tasks that
were never tried, bounds of nodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from conductor.core.admission.gates import backlog_closed
from conductor.core.admission.node_bounds import NodeBounds
from conductor.core.admission.unmeasured_tasks import Untried
from conductor.core.capacity.cluster import Free
from conductor.core.failures.breaker import TickBreakers
from conductor.model.decision import Verdict
from conductor.model.snapshot import JobClass


class Closings:
    """Of one tick. Classes that agree share the answer."""

    def __init__(self, free: Free, kinds: TickBreakers, untried: Untried, bounds: NodeBounds) -> None:
        self._free, self._kinds, self._untried, self._bounds = free, kinds, untried, bounds
        self._known: dict[Hashable, Sequence[Verdict]] = {}
        snapshot = free.snapshot
        self._is_closed = bool(snapshot.outside_hours or snapshot.controls.paused_backlogs)
        #: Something may be outside its hours, or of a kind that is held back.
        self.has_any = self._is_closed or kinds.are_told or not kinds.is_free

    def first_of(self, job_class: JobClass) -> Verdict | None:
        """The first thing that keeps it back everywhere."""
        said = next(iter(backlog_closed(job_class, self._free)), None) if self._is_closed else None
        return said or self._kinds.closed(job_class)

    def of(self, job_class: JobClass) -> Sequence[Verdict]:
        if not (self.has_any or self._untried.has(job_class) or self._bounds):
            return ()
        known_by = (job_class.kind, job_class.task, job_class.lane, job_class.backlog, job_class.is_untried)
        key = (*known_by, self._bounds.key(job_class)) if self._bounds else known_by
        known = self._known.get(key)
        if known is None:
            closed = backlog_closed(job_class, self._free) if self._is_closed else []
            known = [*closed, *self._kinds.closings(job_class), *self._untried.closings(job_class)]
            known += self._bounds.closings(job_class)
            self._known[key] = known
        return known
