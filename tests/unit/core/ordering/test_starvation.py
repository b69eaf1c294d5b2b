"""Who is passed over, since when, and in which order that is made good."""

from __future__ import annotations

from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate

ALL_CORES = 16.0
LIMITS = Limits(order="largest", keep_after_s=300.0)


def wholes(count: int) -> list[Candidate]:
    """The later the name, the more it takes: by the rule the last comes first, by its name the last."""
    return [a_candidate(a_class("cpu", id=f"{n}-whole", cpu=ALL_CORES - count + n)) for n in range(count)]


def test_a_batch_that_is_passed_over_in_one_tick_is_served_in_the_order_of_the_rule() -> None:
    small = a_candidate(a_class("cpu", id="small", cpu=1))
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
    small = a_candidate(a_class("cpu", id="small", cpu=1, duration_s=60.0))
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
