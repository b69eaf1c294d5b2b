"""The tick's only reader: ports → Snapshot and candidates."""

from __future__ import annotations

from msgspec.structs import replace

from conductor.core.chains.chains import next_of
from conductor.model.chains import ChainStates
from conductor.model.snapshot import Candidate, Head, Lookahead, Snapshot
from conductor.ports import Ledger, Rates

#: For who looks without having ticked before.
USUAL = Lookahead()
#: Of begun chains so many jobs are looked at beside them.
MOST_NEXT = 1024


def observe(ledger: Ledger, rates: Rates, look: Lookahead = USUAL) -> tuple[Snapshot, tuple[Candidate, ...]]:
    """All that the decision may know. Raises `Unreachable`.

    Candidates come first and reservations after the queues: what changes in between makes a job look as if it
    still waited or still held something, which costs a tick and never over-commits.
    """
    candidates = ledger.waiting.candidates(look)
    queued = ledger.handover.queued()
    nodes = ledger.reports.live()
    now = ledger.bell.now()
    # Before the rates: who is gone from them has told what its calls came to.
    reservations = ledger.handover.reservations()
    # Behind the reservations: what failed in between is counted twice over, never not at all.
    kinds, in_review = ledger.kinds.states()
    # Behind them too: a file whose writer has just given back its reservation is among what was written.
    chain_states = ledger.waiting.chain_states([head.job_id for c in candidates for head in c.heads])
    candidates = with_next(ledger, candidates, chain_states)
    snapshot = Snapshot(
        now=now,
        nodes=nodes,
        reservations=reservations,
        queued=queued,
        rates=rates.states(now, reservations),
        controls=ledger.control.controls(),
        kinds=kinds,
        in_review=in_review,
        chains=chain_states.chains,
        written=chain_states.written,
        longest_wait_s=chain_states.longest_wait_s,
    )
    return snapshot, candidates


def with_next(
    ledger: Ledger, candidates: tuple[Candidate, ...], chain_states: ChainStates
) -> tuple[Candidate, ...]:
    """The candidates with the next jobs of begun chains, wherever they stand in their classes: one that gives
    the disk back must not wait behind the first of its class, which wait for that."""
    if not chain_states.chains:
        return candidates
    shown = {head.job_id for c in candidates for head in c.heads}
    begun = (job_id for chain in chain_states.chains if chain.node is not None for job_id in next_of(chain))
    wanted = [job_id for job_id in begun if job_id not in shown][:MOST_NEXT]
    if not wanted:
        return candidates
    found: dict[str, list[Head]] = {}
    for class_id, head in ledger.waiting.heads(wanted):
        found.setdefault(class_id, []).append(head)
    return tuple(
        replace(c, heads=(*c.heads, *more)) if (more := found.get(c.job_class.id)) else c for c in candidates
    )
