"""How many jobs of each class the next tick reads: few, and more of a class of which this tick admitted many.
Pure.

The cost of a tick follows from the jobs that it reads. If it read as many heads of every class as the busiest
class needs, a long backlog of many classes would cost tens of thousands of reads, nearly all in vain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from conductor.core.ordering.trial_orders import MOST_ITEMS
from conductor.model.decision import Decision
from conductor.model.snapshot import Candidate, Lookahead

#: Of a class that nothing was taken from: as many as can be where there are few classes.
FEWEST_HEADS, USUAL_HEADS = 4, 16
#: So many together.
ALL_HEADS = 400
#: And of one class.
MOST_HEADS = 256


def next_look(
    look: Lookahead, candidates: Collection[Candidate], decision: Decision, has_chains: bool
) -> Lookahead:
    """After a tick that read `candidates` by `look` and decided this: twice the number that was admitted,
    four times the number that was read where all of it was admitted, and half of it where nothing was."""
    heads = _heads(candidates, has_chains)
    taken = Counter(a.reservation.class_id for a in decision.admit)
    of: dict[str, int] = {}
    for candidate in candidates:
        class_id = candidate.job_class.id
        if class_id in taken or class_id in look.of:
            wanted = _wanted(candidate, taken[class_id], look.of.get(class_id, look.heads))
            if wanted > heads:
                of[class_id] = wanted
    return Lookahead(heads=heads, of=of, backlogs=look.backlogs)


def _heads(candidates: Collection[Candidate], has_chains: bool) -> int:
    """Orders are rehearsed where all that waits is in sight; of a chain, who goes may be behind some that
    stay.
    """
    if has_chains or sum(c.waiting for c in candidates) <= MOST_ITEMS:
        return USUAL_HEADS
    return max(FEWEST_HEADS, min(USUAL_HEADS, ALL_HEADS // len(candidates)))


def _wanted(candidate: Candidate, taken: int, read: int) -> int:
    if len(candidate.heads) <= taken < candidate.waiting:
        return min(MOST_HEADS, read * 4)
    # In powers of two: what is read again the same way is known already.
    return min(MOST_HEADS, max(1 << (2 * taken - 1).bit_length() if taken else 0, read // 2))
