"""Who may go before a job that nobody goes before as things are.

What ends gives back the share of its backlog, so a backlog that holds more now may hold less then; and where
orders are played through, another one may win once more is free. A hold says so, or «would start» would be a
promise that others may take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set

from conductor.core.admission.jobs_ahead import HeldClass
from conductor.core.ordering.turns import Turns
from conductor.model.decision import Front
from conductor.model.snapshot import Reservation


def contenders(
    one: HeldClass,
    others: Sequence[HeldClass],
    over: Iterable[Reservation],
    turns: Turns,
    bits: Callable[[HeldClass], int],
    hopeless: Set[str],
) -> Front | None:
    """Of `others` those that take a part of what it needs, and may come before it when `over`, which hold it
    now, have ended. None: nobody may.

    A kind that is held back for one that goes first may be open once that one has ended."""
    own, wanted, over = one.turn.job_class.backlog, bits(one), list(over)
    opened = one.opens | {r.kind for r in over}
    may: dict[str, bool] = {}
    found: list[str] = []
    for other in others:
        if other is one or other.level > one.level or other.head.job_id in hopeless:
            continue
        if not bits(other) & wanted or not other.closed <= opened:
            continue
        backlog = other.turn.job_class.backlog
        if backlog == own:
            # Whoever is open already, and comes first by its key, goes before it as things are.
            comes_first = turns.is_chosen_anew or other.key <= one.key
        else:
            if backlog not in may:
                may[backlog] = turns.share_without(backlog, over) <= turns.share_of(own)
            comes_first = may[backlog]
        if comes_first or other.level < one.level:
            found.append(other.head.job_id)
    return Front(job_id=found[0], jobs=len(found)) if found else None
