"""The tick's only reader: ports → Snapshot and candidates."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.model.snapshot import Candidate, Snapshot
from conductor.ports import Ledger, Rates

#: The first so many jobs of each class are looked at in a tick.
HEADS = 16


def observe(
    ledger: Ledger, rates: Rates, backlogs: Sequence[str] = (), heads: int = HEADS
) -> tuple[Snapshot, tuple[Candidate, ...]]:
    """All that the decision may know. Raises `Unreachable`.

    Candidates come first and reservations after the queues: what changes in between makes a job look as if it still
    waited or still held something, which costs a tick and never over-commits.
    """
    candidates = ledger.backlog.candidates(heads, backlogs)
    queued = ledger.handover.queued()
    nodes = ledger.reports.live()
    now = ledger.bell.now()
    # Before the rates: who is gone from them has told what its calls came to.
    reservations = ledger.handover.reservations()
    # Behind the reservations: what failed in between is counted twice over, never not at all.
    kinds, in_review = ledger.kinds.states()
    snapshot = Snapshot(
        now=now,
        nodes=nodes,
        reservations=reservations,
        queued=queued,
        rates=rates.states(now, reservations),
        controls=ledger.control.controls(),
        kinds=kinds,
        in_review=in_review,
    )
    return snapshot, candidates
