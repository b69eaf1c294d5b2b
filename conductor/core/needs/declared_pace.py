"""How long jobs take that few or none of their kind have gone before, by what their lines declare. Pure.

Whoever wrote the plan knew which job takes long and not how fast this machine is. So a declared duration is
taken times what those that did run took of theirs: the pace.
"""

from __future__ import annotations

from conductor.core.needs.evidence import FEW, when
from conductor.core.needs.robust_line import middle
from conductor.core.needs.samples import Memory, quantile

#: Of a job that was to take less than this, its start is a large part, which is no question of pace.
LEAST_S = 0.5
#: A kind's pace goes by so many of its last jobs.
LAST = 20
#: Further off than this, lines say nothing of time at all.
MOST = 4.0


def pace(memory: Memory) -> float:
    """Seconds that a declared second takes: in the middle of the kinds, each counted once, for one that was
    measured exactly would speak for all. 1.0 where nobody knows.
    """
    kinds = {ring.kind for ring in memory.rings()}
    known = [share for kind in kinds if (share := _of_kind(memory, kind)) is not None]
    return min(MOST, max(1 / MOST, middle(known))) if known else 1.0


def _of_kind(memory: Memory, kind: str) -> float | None:
    """None: too few have run, and the first of each worker pays for imports and cold files."""
    samples = [
        s
        for ring in memory.rings(kind)
        for s in ring.samples
        if s.ran_out_of is None and s.declared_s >= LEAST_S
    ]
    if len(samples) < FEW:
        return None
    return quantile((s.seconds / s.declared_s for s in sorted(samples, key=when)[-LAST:]), 0.5)


def with_declared(learned_s: float, declared_s: float, seen: int, pace: float) -> float:
    """Seconds to expect of a job of whose kind `seen` have run. The first of a kind start in cold workers:
    until there are a few, what is declared stands for those that are missing.
    """
    if declared_s <= 0 or seen >= FEW:
        return learned_s
    return (seen * learned_s + (FEW - seen) * declared_s * pace) / FEW
