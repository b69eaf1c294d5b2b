"""Who is passed over, since when, and in which order that is made good."""

from __future__ import annotations

import pytest
from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.ordering.orders import AT_ONCE_S
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Controls, Head

ALL_CORES = 16.0
LIMITS = Limits(order="largest", keep_after_s=300.0)


def wholes(count: int) -> list[Candidate]:
    """The later the name, the more it takes: by the rule the last comes first, by its name the last."""
    return [a_candidate(a_class("cpu", id=f"{n}-whole", cpu=ALL_CORES - count + n)) for n in range(count)]


def test_a_batch_that_is_passed_over_in_one_tick_is_served_in_the_order_of_the_rule() -> None:
    small = a_candidate(a_class("cpu", id="small", backlog="other", cpu=1))
    busy = a_reservation(lane="cpu", queue="cpu-node1", cpu=ALL_CORES - 1, class_id="c")
    first = decide(a_snapshot(reservations=(busy,)), [*wholes(3), small], LIMITS)

    assert [a.reservation.class_id for a in first.admit] == ["small"]
    passed_over = {h.head: h.passed_over_since for h in first.hold if h.passed_over_since is not None}
    assert sorted(passed_over) == [f"{n}-whole-00000000" for n in range(3)]

    for left in ([2, 1, 0], [1, 0]):
        then = NOW + 1000.0
        free = a_snapshot(now=then, nodes=(a_report(sent_at=then),), passed_over=passed_over)
        later = decide(free, wholes(3)[: len(left)], LIMITS)
        assert [a.reservation.class_id for a in later.admit] == [f"{left[0]}-whole"]


def test_bounds_are_stated_in_that_order() -> None:
    small = a_candidate(a_class("cpu", id="small", backlog="other", cpu=1, duration_s=60.0))
    known = [
        a_candidate(a_class("cpu", id=f"{n}-whole", cpu=ALL_CORES - 3 + n, duration_s=60.0)) for n in range(3)
    ]
    busy = a_reservation(
        lane="cpu", queue="cpu-node1", cpu=ALL_CORES - 1, class_id="c", state="running", started_at=NOW,
        expected_s=60.0,
    )  # fmt: skip
    decision = decide(a_snapshot(reservations=(busy,)), [*known, small], LIMITS)

    by = {hold.class_id: hold.starts_by for hold in decision.hold}
    assert all(by.values()), by
    assert sorted(by, key=lambda name: by[name] or 0.0) == ["2-whole", "1-whole", "0-whole"]


@pytest.mark.parametrize("controls", [Controls(paused_backlogs=("night",)), Controls(paused_lanes=("gpu",))])
def test_what_a_pause_keeps_back_explains_nobody_s_wait(controls: Controls) -> None:
    """It counted as work that there is, so a place was kept for whom others passed over only hours later."""
    small = a_candidate(a_class("cpu", id="small", backlog="other", cpu=1, duration_s=60.0))
    whole = a_candidate(a_class("cpu", id="whole", cpu=ALL_CORES, duration_s=60.0))
    paused = a_candidate(a_class(id="paused", backlog="night", cpu=4, duration_s=3600.0), waiting=1000)
    busy = a_reservation(
        lane="cpu", queue="cpu-node1", cpu=ALL_CORES - 1, class_id="c", state="running", started_at=NOW,
        expected_s=60.0,
    )  # fmt: skip

    def passed_over_since(seen: Controls, *more: Candidate) -> float | None:
        decision = decide(
            a_snapshot(reservations=(busy,), controls=seen),
            [whole, small, *more],
            Limits(order="largest", keep_after_s=10.0, overdue_s=10_000.0),
        )
        return {hold.class_id: hold.passed_over_since for hold in decision.hold}["whole"]

    alone = passed_over_since(Controls())

    assert alone is not None
    assert passed_over_since(controls, paused) == alone
    assert (passed_over_since(Controls(), paused) or 0.0) > alone


def held_since(since: float, backlog: str = "b", priority: int = 0, **more: float) -> dict[str, float | None]:
    """Class → since when its first job is passed over, after a tick that started a small job of `backlog`,
    dispatched at `since`. The whole machine is asked for by one dispatched at NOW.
    """
    small = a_class("cpu", id="small", backlog=backlog, priority=priority, cpu=1, duration_s=60.0)
    whole = a_class("cpu", id="whole", cpu=ALL_CORES, duration_s=more.get("whole_s", 60.0))
    busy = a_reservation(
        lane="cpu", queue="cpu-node1", cpu=ALL_CORES - 1, class_id="c", state="running",
        started_at=NOW, expected_s=60.0,
    )  # fmt: skip
    then = NOW + 100.0
    seen = a_snapshot(now=then, nodes=(a_report(sent_at=then),), reservations=(busy,))
    heads = ((whole, NOW), (small, since))
    candidates = [
        Candidate(job_class=c, waiting=1, heads=(Head(job_id=f"{c.id}-0", attempts=0, since=at),))
        for c, at in heads
    ]
    limits = Limits(order="largest", keep_after_s=more.get("keep_after_s", 10.0), overdue_s=1000.0)
    decision = decide(seen, candidates, limits)
    assert [a.reservation.class_id for a in decision.admit] == ["small"]
    return {hold.class_id: hold.passed_over_since for hold in decision.hold}


def test_jobs_of_one_dispatch_have_no_claim_against_each_other() -> None:
    assert held_since(NOW + AT_ONCE_S) == {"whole": None}
    assert held_since(NOW - 3600.0) == {"whole": None}


def test_there_is_a_claim_against_later_dispatches_other_backlogs_and_lower_priorities() -> None:
    for found in (
        held_since(NOW + AT_ONCE_S + 1),
        held_since(NOW, backlog="other"),
        held_since(NOW, priority=-1),
    ):
        assert found["whole"] is not None


def test_being_passed_over_counts_from_when_twice_the_work_is_done_and_before_a_job_is_overdue() -> None:
    """A job of 60 s waits for all cores, and another has begun on one: it still counts as waiting too. What
    ran should have ended."""
    work_s = 60.0 + 2 * 60.0 / ALL_CORES
    then = NOW + 100.0
    counts_from = held_since(NOW, backlog="other")["whole"]
    assert counts_from is not None
    assert counts_from + 10.0 - then == pytest.approx(2 * work_s)

    assert held_since(NOW, backlog="other", keep_after_s=500.0)["whole"] == then
    long = held_since(NOW, backlog="other", whole_s=50_000.0)["whole"]
    assert long == pytest.approx(then + 1000.0 - 10.0)
