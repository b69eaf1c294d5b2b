"""What a decision answers now, under the names and in the shape that it had when the mixed run was recorded:
the tables of `tests/recorded.py` for what comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from conductor.core.admission.sentences import words_of
from conductor.model.decision import Decision, Hold, Verdict
from conductor.model.reason import Reason


class Reworded:
    """What was told otherwise then, on purpose: it is no difference."""


REWORDED = Reworded()
#: They no longer begin with «can never», and a device is said to be as large as what it has to give. Of
#: several devices that do nothing is said any more.
REWORDED_REASONS = (Reason.TOO_LARGE, Reason.TOO_FEW_LARGE, Reason.CHAIN_TOO_LARGE)


#: What closes a class, or places of it, whatever is free: the first was told, and none where it lacked room.
CLOSINGS = frozenset(
    {
        *(Reason.UNKNOWN_TASK, Reason.UNREAD_TASK, Reason.LANE_OUTSIDE_HOURS, Reason.BACKLOG_OUTSIDE_HOURS),
        *(Reason.REVIEW_DEBT, Reason.BREAKER_WAITS, Reason.BREAKER_TRIES, Reason.BREAKER_SPENT),
        *(Reason.FAILING_ALIKE, Reason.CANARY, Reason.UNTRIED, Reason.DEVICE_QUARANTINED),
    }
)


class WithMore(tuple[Verdict, ...]):
    """Verdicts, of which those in `CLOSINGS` may not have been told then, nor that a disk that is closed
    lacks room besides."""

    __slots__ = ()


def verdict_of_then(verdict: Verdict) -> dict[str, Any]:
    """It had its words in it, and a flag for each meaning that somebody asked for."""
    kept = ("gate", "passed", "where", "need", "have", "limit", "unit", "holders", "reopens_at")
    flags = ("is_never", "is_crowded", "is_broken", "is_refused")
    is_other = verdict.reason in REWORDED_REASONS or (verdict.passed and verdict.unit == "devices")
    # «It fits, but then …» was said of disks without room, too.
    unsafe = (Reason.CHAIN_UNSAFE, Reason.CHAINS_CROWDED)
    is_other |= verdict.reason in unsafe and verdict.need > verdict.have
    words = REWORDED if is_other else words_of(verdict)
    return {name: getattr(verdict, name) for name in (*kept, *flags)} | {"message": words}


def decision_of_then(answer: Decision) -> dict[str, Any]:
    """Who goes before a held class was told by the order of that tick; it is that of the next one now.

    They differ where the tick admitted somebody: the backlogs that it served go behind. They differ, too,
    where one that was passed over for too long is closed (its lane is paused): it goes before all others in
    that tick, and is not passed over any more in the next. Of all others it is compared.

    Who had been passed over lost the promise as soon as there was room that is reserved for another; it is
    kept now. So such a one has dates that it had not, and with it those of all who were passed over later.

    Several who were passed over for the first time in one tick stood in the order of their ids; it is that of
    the rule now. So each of them may have the dates of another one.

    A place that the order keeps for one that is not due yet was a date; it is none now, for the next order
    may give it to another."""
    is_kept = any(_comes_after(hold) or _is_kept_early(hold, answer) for hold in answer.hold)
    holds = tuple(_hold_of_then(hold, bool(answer.admit), is_kept) for hold in answer.hold)
    if any((hold.passed_over_since or 0.0) > answer.now for hold in answer.hold):
        holds = tuple(_first_passed_over(hold, answer) for hold in holds)
    kept = ("now", "admit", "review", "order", "wanted", "next_tick_s")
    return {name: getattr(answer, name) for name in kept} | {"hold": holds, "heirs": answer.successors}


def _hold_of_then(hold: Hold, has_admitted: bool, is_kept: bool) -> Hold:
    other: dict[str, Any] = {"front": REWORDED} if has_admitted or is_kept or _is_closed(hold) else {}
    if is_kept and hold.passed_over_since is not None:
        other |= {"reserved_from": REWORDED, "starts_by": REWORDED}
    if _comes_after(hold):
        other |= {"passed_over_since": REWORDED}
    if _waited_for_nothing(hold):
        other |= {"verdicts": REWORDED}
    return msgspec.structs.replace(hold, **{"verdicts": WithMore(hold.verdicts), "contenders": None} | other)


def _is_kept_early(hold: Hold, answer: Decision) -> bool:
    return bool(hold.reserved_at) and hold.reserved_from is not None and hold.reserved_from > answer.now


def _first_passed_over(hold: Hold, answer: Decision) -> Hold:
    if not isinstance(since := hold.passed_over_since, float) or since < answer.now:
        return hold
    dates: dict[str, Any] = {"reserved_from": REWORDED, "starts_by": REWORDED}
    return msgspec.structs.replace(hold, **dates, passed_over_since=answer.now)


def _comes_after(hold: Hold) -> bool:
    """It has the promise of one that was passed over, and room that is reserved for another."""
    reserved = (Reason.PLACE_RESERVED, Reason.BUDGET_RESERVED)
    return hold.passed_over_since is not None and any(v.reason in reserved for v in hold.closed)


def has_kept_for_one_that_never_runs(decision: Any) -> bool:
    """A place was kept for a job of which no node declares the root (in seven ticks): none is now, so the
    next ones of those who were passed over have it, and turns and dates of who waits are others. Who starts,
    and who follows, is compared."""
    return any(hold.kept_at and hold.is_infeasible for hold in getattr(decision, "hold", ()))


def _waited_for_nothing(hold: Hold) -> bool:
    """Where less than nothing was left of a node's memory, who asked none of it found no place there, and
    every gate was open; it is asked now whether the place is kept for another. In one tick it is."""
    return hold.task == "vision.unsaid" and any(v.reason is Reason.PLACE_RESERVED for v in hold.closed)


def _is_closed(hold: Hold) -> bool:
    return any(verdict.gate == "hold" for verdict in hold.closed)


#: Class of then → from its value of now to the fields of then.
ANSWERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "Decision": decision_of_then,
    "Verdict": verdict_of_then,
}
