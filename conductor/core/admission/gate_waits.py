"""What each gate has cost one job: the time in which the gate was closed to its class while the job was in
it.

A class may wait for a night while each of its jobs waits for minutes, so the figures of a class are not those
of a job. They are kept in the memory of the conductor that leads: a new leader knows the closings that go on,
and not those that were over before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from conductor.model.decision import Admission, Decision, Gate, Hold, Successor
from conductor.model.snapshot import Candidate, Head

#: Of each class so many closings that are over are remembered, and so many classes.
MOST_CLOSINGS, MOST_CLASSES = 32, 4096
#: A gate that was closed for less cost nothing that anybody asks after.
LEAST_S = 0.5

_replace = msgspec.structs.replace


class Closing(NamedTuple):
    """A gate was closed from then to then, epoch seconds."""

    gate: Gate
    began_at: float
    ended_at: float


class GateWaits:
    """Of one conductor."""

    def __init__(self) -> None:
        self._over: dict[str, deque[Closing]] = {}

    def look(self, before: Iterable[Hold], holds: Iterable[Hold], now: float) -> None:
        """Notes what is not closed any more; `holds` are carried on from `before`."""
        known = {hold.class_id: hold for hold in holds}
        for was in before:
            hold = known.get(was.class_id)
            # What stays closed is carried on as the same object.
            if hold is not None and hold.closed_since is was.closed_since:
                continue
            still = () if hold is None else hold.closed_since
            for gate, began_at in was.closed_since.items():
                if gate not in still and now - began_at >= LEAST_S:
                    self._note(was.class_id, Closing(gate, began_at, now))

    def of(
        self, class_id: str, closed_since: Mapping[Gate, float], since: float, now: float
    ) -> dict[str, float]:
        """Gate → seconds since `since`; gates that were closed together count each."""
        spent: dict[str, float] = {}
        going = (Closing(gate, began_at, now) for gate, began_at in closed_since.items())
        for closing in (*self._over.get(class_id, ()), *going):
            seconds = min(now, closing.ended_at) - max(since, closing.began_at)
            if seconds >= LEAST_S:
                spent[closing.gate] = round(spent.get(closing.gate, 0.0) + seconds, 3)
        return spent

    def told(self, decision: Decision, before: Iterable[Hold], candidates: Iterable[Candidate]) -> Decision:
        """The same decision; who goes has with it since when it waited and for what."""
        named = (*decision.admit, *(successor.admission for successor in decision.successors))
        if not named:
            return decision
        wanted = {admission.reservation.class_id for admission in named}
        heads = {head.job_id: head for c in candidates if c.job_class.id in wanted for head in c.heads}
        closed = {hold.class_id: hold.closed_since for hold in before if hold.class_id in wanted}

        def with_waits(admission: Admission) -> Admission:
            return self._with_waits(admission, heads, closed, decision.now)

        admit = tuple(map(with_waits, decision.admit))
        successors: Sequence[Successor] = [
            _replace(each, admission=with_waits(each.admission)) for each in decision.successors
        ]
        return _replace(decision, admit=admit, successors=tuple(successors))

    def _with_waits(
        self,
        admission: Admission,
        heads: Mapping[str, Head],
        closed: Mapping[str, Mapping[Gate, float]],
        now: float,
    ) -> Admission:
        held = admission.reservation
        head = heads.get(held.job_id)
        if head is None:
            return admission
        waited_for = self.of(held.class_id, closed.get(held.class_id, {}), head.since, now)
        return _replace(admission, reservation=_replace(held, since=head.since, waited_for=waited_for))

    def _note(self, class_id: str, closing: Closing) -> None:
        # The class that was noted last stays longest.
        over = self._over.pop(class_id, None) or deque[Closing](maxlen=MOST_CLOSINGS)
        over.append(closing)
        self._over[class_id] = over
        if len(self._over) > MOST_CLASSES:
            del self._over[next(iter(self._over))]
