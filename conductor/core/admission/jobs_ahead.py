"""Who stands in front of a job that waits: those that come before it, may go, and would take a part of what
it needs.

A gate names who holds what a job lacks. Once that one ends, what it held goes to whoever comes first; so a
hold says that too, or its reason would be true and of no use.
"""

from __future__ import annotations

from typing import NamedTuple

from conductor.model.decision import Front


class Alike(NamedTuple):
    """Classes that ask for parts of the same: where the first of them stands, its job, level → (jobs,
    classes).
    """

    place: int
    first: str
    levels: dict[int, tuple[int, int]]


class Fronts:
    """Fed with the held classes in the order of their turns."""

    __slots__ = ("_by_bits", "_count")

    def __init__(self) -> None:
        #: What is asked for, as bits, and what else shuts them → all of these.
        self._by_bits: dict[tuple[int, str], Alike] = {}
        self._count = 0

    def before(self, bits: int, level: int, shut: str = "") -> Front | None:
        """Of one that asks for `bits` at that level (0: the highest); None: nobody is before it.

        `shut`: what keeps it back whatever is free. Who is kept back by something else stands in nobody's
        way."""
        sharing = [found for (asked, by), found in self._by_bits.items() if asked & bits and by in ("", shut)]
        if not sharing:
            return None
        higher = sum([jobs for alike in sharing for at, (jobs, _) in alike.levels.items() if at < level])
        beside = sum(
            [classes for alike in sharing for at, (_, classes) in alike.levels.items() if at >= level]
        )
        return Front(job_id=min(sharing).first, jobs=higher + beside, higher=higher)

    def add(self, bits: int, level: int, job_id: str, jobs: int, shut: str = "") -> None:
        """`jobs` of one class, `job_id` their first."""
        self._count += 1
        alike = self._by_bits.get((bits, shut))
        if alike is None:
            alike = self._by_bits[bits, shut] = Alike(self._count, job_id, {})
        known, classes = alike.levels.get(level, (0, 0))
        alike.levels[level] = (known + jobs, classes + 1)
