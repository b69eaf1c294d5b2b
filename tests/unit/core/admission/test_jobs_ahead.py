"""Who goes before a held class: told by the order of the next tick, in which it may go."""

from __future__ import annotations

from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Controls, Snapshot

KEPT_AFTER = Limits(keep_after_s=300.0)
ALL_CORES = 16.0


def front_of(decision: Decision, class_id: str) -> str:
    """The class of the job that goes first before that one; empty: nobody does."""
    (hold,) = [hold for hold in decision.hold if hold.class_id == class_id]
    return hold.front.job_id.rpartition("-")[0] if hold.front else ""


def of_two_backlogs(free: float) -> tuple[Snapshot, list[Candidate]]:
    """One of each wants all cores; a small one of «a» comes after them."""
    wholes = [
        a_candidate(a_class("cpu", id=f"{b}-whole", backlog=b, cpu=ALL_CORES, priority=1)) for b in "ab"
    ]
    small = a_candidate(a_class("cpu", id="a-small", backlog="a", cpu=1))
    busy = a_reservation(lane="cpu", queue="cpu-node1", cpu=ALL_CORES - free, class_id="c", backlog="c")
    return a_snapshot(reservations=(busy,)), [*wholes, small]


def test_a_backlog_that_this_tick_served_goes_behind_in_the_next() -> None:
    decision = decide(*of_two_backlogs(free=1.0), Limits())

    assert [a.reservation.class_id for a in decision.admit] == ["a-small"]
    assert [hold.class_id for hold in decision.hold] == ["a-whole", "b-whole"], "the order of this tick"
    assert (front_of(decision, "a-whole"), front_of(decision, "b-whole")) == ("b-whole", "")


def test_where_nobody_was_served_the_next_tick_has_the_same_order() -> None:
    decision = decide(*of_two_backlogs(free=0.0), Limits())

    assert decision.admit == ()
    assert (front_of(decision, "a-whole"), front_of(decision, "b-whole")) == ("", "a-whole")


def test_the_next_one_that_was_passed_over_for_too_long_goes_before_all_others() -> None:
    """One of them is served in a tick."""
    overdue = [a_candidate(a_class("cpu", id=f"{n}-overdue", cpu=ALL_CORES)) for n in range(2)]
    urgent = a_candidate(a_class("cpu", id="urgent", cpu=ALL_CORES, priority=9))
    passed_over = {f"{n}-overdue-00000000": NOW - 500 + n for n in range(2)}
    decision = decide(a_snapshot(passed_over=passed_over), [*overdue, urgent], KEPT_AFTER)

    assert [a.reservation.class_id for a in decision.admit] == ["0-overdue"]
    assert (front_of(decision, "1-overdue"), front_of(decision, "urgent")) == ("", "1-overdue")


def test_behind_the_one_that_a_place_is_kept_for_all_take_their_turns() -> None:
    busy = a_reservation(lane="cpu", queue="cpu-node1", cpu=ALL_CORES, expected_s=60.0)
    overdue = [a_candidate(a_class("cpu", id=f"{n}-overdue", cpu=ALL_CORES)) for n in range(2)]
    urgent = a_candidate(a_class("cpu", id="urgent", cpu=ALL_CORES, priority=9))
    snapshot = a_snapshot(
        nodes=(a_report(),),
        reservations=(busy,),
        passed_over={f"{n}-overdue-00000000": NOW - 500 + n for n in range(2)},
    )
    decision = decide(snapshot, [*overdue, urgent], KEPT_AFTER)

    assert front_of(decision, "0-overdue") == ""
    assert front_of(decision, "urgent") == "0-overdue"
    (last,) = [hold for hold in decision.hold if hold.class_id == "1-overdue"]
    assert last.front is not None and (last.front.jobs, last.front.higher) == (2, 1)


def test_who_was_passed_over_and_is_closed_now_loses_its_place_in_front() -> None:
    """Its lane is paused: nothing passes it over meanwhile."""
    lanes = Controls(paused_lanes=("cpu",))
    overdue = a_candidate(a_class("cpu", id="overdue", cpu=ALL_CORES))
    urgent = a_candidate(a_class("cpu", id="urgent", cpu=ALL_CORES, priority=9))
    snapshot = a_snapshot(controls=lanes, passed_over={"overdue-00000000": NOW - 500})
    decision = decide(snapshot, [overdue, urgent], KEPT_AFTER)

    assert (front_of(decision, "overdue"), front_of(decision, "urgent")) == ("urgent", "")
