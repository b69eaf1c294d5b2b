"""The decision on recorded ticks with a state that is kept from one to the next, as `simulate` keeps it."""

from __future__ import annotations

from msgspec.structs import replace

from conductor.analysis.replay.recording_frames import Tick
from conductor.core.admission.admission import decide
from conductor.core.admission.decision_state import DecisionState
from conductor.model.decision import Decision
from conductor.model.snapshot import Reservation, Snapshot


class Kept:
    """Told of every start and end that lies between two ticks. What cannot be told so (a node's new readings,
    measured use, an admission that the hand-over refused) makes it begin anew; `followed` counts the ticks
    that did not."""

    def __init__(self) -> None:
        self._state: DecisionState | None = None
        self._before: Tick | None = None
        self._holds: dict[str, Reservation] = {}
        self.followed = 0

    def decide(self, tick: Tick) -> Decision:
        snapshot = tick.snapshot
        if self._state is not None and self._before is not None and self._follows(self._before, tick):
            self._tell(self._state, snapshot)
            self.followed += 1
        else:
            self._state = DecisionState(snapshot, tick.limits)
            self._state.look_at(tick.candidates)
        decision = decide(snapshot, tick.candidates, tick.limits, self._state)
        self._holds = {r.job_id: r for r in snapshot.reservations}
        self._holds |= {a.reservation.job_id: a.reservation for a in decision.admit}
        self._before = tick
        return decision

    def _follows(self, before: Tick, tick: Tick) -> bool:
        was, now = before.snapshot, tick.snapshot
        if tick.limits != before.limits or told_apart(was) != told_apart(now):
            return False
        if tick.limits.place == "least_loss" and was.usual != now.usual:
            return False
        return all(
            (mine := self._holds.get(r.job_id)) is not None and same_but_started(mine, r)
            for r in now.reservations
        )

    def _tell(self, state: DecisionState, snapshot: Snapshot) -> None:
        there = {r.job_id: r for r in snapshot.reservations}
        for job_id, mine in self._holds.items():
            now = there.get(job_id)
            if now is None:
                if mine.state == "admitted":
                    state.started(mine)
                state.ended(mine)
            elif mine.state == "admitted" and now.state == "running":
                state.started(now)
        for node in state.free.nodes.values():
            for queue in (queue for queues in node.queues.values() for queue in queues):
                # taken by a worker that has not started it yet
                queue.queued = snapshot.queued.get(queue.name, 0)
            state.placement.moved(node)


def told_apart(snapshot: Snapshot) -> Snapshot:
    """What must be the same in both: all but the time, what runs, and what is queued."""
    return replace(snapshot, now=0.0, reservations=(), queued={}, longest_wait_s=0.0, usual=())


def same_but_started(mine: Reservation, now: Reservation) -> bool:
    """What it waited for is added to the decision's own at the hand-over."""
    went = replace(
        mine, state=now.state, started_at=now.started_at, worker=now.worker, admitted_at=now.admitted_at,
        since=now.since, waited_for=now.waited_for,
    )  # fmt: skip
    return went == now and not (mine.state == "running" and now.state == "admitted")
