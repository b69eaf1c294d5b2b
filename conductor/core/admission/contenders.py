"""Which jobs may start before a held job that has no job ahead of it now.

A running job that ends before its time was charged to its backlog for longer than it took, so the backlog
that has used more now may have used less then; and where orders are played through, another order may win
once more is free. A hold names these jobs: otherwise «would start» would be a promise that others may break.
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
    """Those of `others` that take a part of what the job needs and may come before it when `over`, the jobs
    that hold it now, have ended. None: no job may.

    A kind that is held back behind another job may be open once that job has ended.
    """
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
                may[backlog] = turns.shares.without(backlog, over) <= turns.shares.of(own)
            comes_first = may[backlog]
        if comes_first or other.level < one.level:
            found.append(other.head.job_id)
    return Front(job_id=found[0], jobs=len(found)) if found else None
