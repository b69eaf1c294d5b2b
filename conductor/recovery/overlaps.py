"""A job that was dispatched more than once: which of its lines holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from conductor.recovery.sources import Source


class Overlaps:
    """Of a job's lines the one that was dispatched last, into the backlog that had it first: there it stayed."""

    def __init__(self, sources: Sequence[Source], ids: Sequence[Iterable[str]]) -> None:
        """`ids`: the jobs of each source. Memory grows with those that stand in several."""
        self._holder: dict[str, int] = {}
        first: dict[str, int] = {}
        for at, theirs in enumerate(ids):
            for job_id in theirs:
                before = first.setdefault(job_id, at)
                if before != at:
                    held = self._holder.setdefault(job_id, before)
                    is_home = sources[at].backlog == sources[before].backlog
                    if is_home and _rank(sources[at], at) > _rank(sources[held], held):
                        self._holder[job_id] = at

    def holds(self, at: int, job_id: str) -> bool:
        """Does the line of the source number `at` hold?"""
        return self._holder.get(job_id, at) == at

    def elsewhere(self, at: int, ids: Iterable[str]) -> Set[str]:
        return {job_id for job_id in ids if not self.holds(at, job_id)} if self._holder else frozenset()


def _rank(source: Source, at: int) -> tuple[bool, int, int]:
    """What was named by hand is the operator's last word."""
    return not source.sha256, source.order, at
