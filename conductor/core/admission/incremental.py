"""What a live conductor remembers between two ticks, so that the cost of a tick follows from what changed.

The decision is the one that `decide` makes of the snapshot alone: only work is saved. Contract tests decide
recorded ticks both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.admission.admission import Deciding
from conductor.core.admission.decision_state import DecisionState
from conductor.core.admission.gate_ledger import shared_of
from conductor.model.decision import Decision, Shared
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Snapshot


class Keeping:
    """Give it each tick's snapshot, whatever happened in between; nothing has to be told."""

    def __init__(self) -> None:
        self._state: DecisionState | None = None
        #: Ticks for which all had to be built anew: nodes came or went, a queue opened or closed.
        self.begun = 0

    def decide(self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> Decision:
        deciding = self.begin(snapshot, candidates, limits)
        return self.end(deciding, deciding.first())

    def begin(self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> Deciding:
        """To be ended: what is left half-way leaves nothing to go on from."""
        state, self._state = self._state, None
        if state is None or not state.follow(snapshot, limits):
            state = DecisionState(snapshot, limits)
            self.begun += 1
        state.look_at(candidates)
        state.renew(snapshot)
        return Deciding(snapshot, candidates, limits, state)

    def end(self, deciding: Deciding, first: Decision) -> Decision:
        decision = deciding.whole(first)
        self._state = deciding.state
        return decision

    def shared(self) -> tuple[Shared, ...]:
        """Every amount that is shared out, as the last decision left it."""
        return () if self._state is None else shared_of(self._state.free)
