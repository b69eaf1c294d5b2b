"""Whether what lines declare says more of how long jobs take than their sizes do. Pure.

A size may have nothing to do with time (bytes of a film whose frames are counted): a line through sizes then
says less than the plan did, and a forecast that adds it up is wrong by more than one that never learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conductor.core.needs.evidence import FEW
from conductor.core.needs.robust_line import RobustLine, usual_line

#: What is fitted of a line: its base, its slope, and by how much both are raised.
PARAMETERS = 3
#: Sizes further than this factor from all that were seen are not known of.
BEYOND = 2.0
#: As it was declared.
AS_DECLARED = RobustLine(0.0, 1.0)


class TimedJob(NamedTuple):
    """What was declared of a job, what was expected of it by its size, and what it took: seconds."""

    size: float
    declared_s: float
    by_size_s: float
    took_s: float


class DeclaredLine(NamedTuple):
    """What lines declare, as far as it can be held against what their jobs took."""

    #: From declared to expected durations.
    line: RobustLine
    #: It came nearer to what jobs took than their sizes did.
    is_nearer: bool
    #: The sizes that were seen.
    least: float
    most: float

    def says_more_of(self, size: float) -> bool:
        """Also of a size far from all that were seen: how time goes on with size nobody has seen there."""
        return self.is_nearer or size > BEYOND * self.most or size < self.least / BEYOND


def declared_line(rows: Sequence[TimedJob]) -> DeclaredLine | None:
    """None where too few jobs declared durations that differ."""
    told = [row for row in rows if row.declared_s > 0]
    if len(told) < FEW or len(told) < len(rows) or len({row.declared_s for row in told}) < 2:
        return None
    # What was fitted to so few comes nearer to them than to any other: Akaike's final prediction error.
    fitted = (len(told) + PARAMETERS) / max(1, len(told) - PARAMETERS)
    by_size = fitted * sum(abs(row.by_size_s - row.took_s) for row in told)
    by_plan = usual_line((row.declared_s, row.took_s) for row in told)
    found = [(_off_by(AS_DECLARED, told), AS_DECLARED), (fitted * _off_by(by_plan, told), by_plan)]
    off, line = min(found, key=lambda one: one[0])
    sizes = [row.size for row in told]
    return DeclaredLine(line, off < by_size, min(sizes), max(sizes))


def _off_by(line: RobustLine, rows: Sequence[TimedJob]) -> float:
    return sum(abs(line.at(row.declared_s) - row.took_s) for row in rows)
