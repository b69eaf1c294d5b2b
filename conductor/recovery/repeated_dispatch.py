"""A job that was dispatched more than once: which of its lines holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from conductor.record.dispatched_manifests import Source


class Overlaps:
    """Of a job's lines the one that was dispatched last into the backlog it is in: the one that had it first,
    or the last one that it was moved to."""

    def __init__(self, sources: Sequence[Source], ids: Sequence[Iterable[str]]) -> None:
        """`ids`: the jobs of each source. Memory grows with those that stand in several."""
        first: dict[str, int] = {}
        several: dict[str, list[int]] = {}
        for at, theirs in enumerate(ids):
            for job_id in theirs:
                before = first.setdefault(job_id, at)
                if before != at:
                    several.setdefault(job_id, [before]).append(at)
        self._holder = {job_id: _holder(sources, places) for job_id, places in several.items()}

    def holds(self, at: int, job_id: str) -> bool:
        """Does the line of the source number `at` hold?"""
        return self._holder.get(job_id, at) == at

    def elsewhere(self, at: int, ids: Iterable[str]) -> Set[str]:
        return {job_id for job_id in ids if not self.holds(at, job_id)} if self._holder else frozenset()


def _holder(sources: Sequence[Source], places: Sequence[int]) -> int:
    holder, home = places[0], sources[places[0]].backlog
    for at in sorted(places, key=lambda at: _rank(sources[at], at)):
        if sources[at].is_move or sources[at].backlog == home:
            holder, home = at, sources[at].backlog
    return holder


def _rank(source: Source, at: int) -> tuple[bool, int, int]:
    """What was named by hand is the operator's last word."""
    return not source.sha256, source.order, at
