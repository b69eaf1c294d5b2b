"""What each gate has cost a job by itself, of a class that has waited for longer."""

from __future__ import annotations

from typing import cast

from builders import NOW, a_candidate, a_class, a_report, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.gate_waits import MOST_CLASSES, GateWaits
from conductor.model.decision import Gate, Hold
from conductor.model.limits import Limits


def a_hold(class_id: str = "c", **closed_since: float) -> Hold:
    gates = cast(dict[Gate, float], closed_since)
    return Hold(
        class_id=class_id, backlog="b", task="t", lane="gpu", waiting=1, verdicts=(), closed_since=gates
    )


def test_a_job_that_came_late_waited_less_than_its_class() -> None:
    waits = GateWaits()
    assert waits.of("c", {"vram": 100.0}, since=160.0, now=200.0) == {"vram": 40.0}


def test_closings_that_are_over_count_where_the_job_was_there() -> None:
    waits, first, then = GateWaits(), a_hold(vram=100.0, lane=100.0), a_hold(vram=100.0)
    waits.look([first], [then], 130.0)
    waits.look([then], [], 150.0)
    assert waits.of("c", {}, since=110.0, now=200.0) == {"lane": 20.0, "vram": 40.0}
    assert waits.of("c", {"vram": 190.0}, since=110.0, now=200.0) == {"lane": 20.0, "vram": 50.0}
    assert waits.of("c", {}, since=150.0, now=200.0) == {}
    assert waits.of("other", {}, since=0.0, now=200.0) == {}


def test_what_stays_closed_is_looked_at_once() -> None:
    waits, hold = GateWaits(), a_hold(vram=100.0)
    waits.look([hold], [hold], 130.0)
    assert waits.of("c", {}, since=0.0, now=200.0) == {}


def test_no_more_classes_are_remembered_than_it_has_room_for() -> None:
    waits = GateWaits()
    for n in range(MOST_CLASSES + 10):
        waits.look([a_hold(str(n), vram=0.0)], [], 10.0)
    assert waits.of("0", {}, since=0.0, now=20.0) == {}
    assert waits.of(str(MOST_CLASSES), {}, since=0.0, now=20.0) == {"vram": 10.0}


def test_who_goes_is_told_since_when_it_waited_and_for_what() -> None:
    waits, of_one = GateWaits(), a_candidate(a_class())
    decision = decide(a_snapshot(nodes=(a_report(),)), (of_one,), Limits())
    (admission,) = decision.admit
    class_id, head = admission.reservation.class_id, of_one.heads[0]
    told = waits.told(decision, [a_hold(class_id, lane=head.since - 60.0)], (of_one,))
    held = told.admit[0].reservation
    assert held.since == head.since
    assert held.waited_for == ({"lane": NOW - head.since} if NOW - head.since >= 0.5 else {})
    assert decision.admit[0].reservation.waited_for == {}, "what was decided stays as it was decided"
