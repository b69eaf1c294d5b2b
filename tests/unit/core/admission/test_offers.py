"""Where the next job of a class would start if it came now: cases."""

from __future__ import annotations

from typing import Any

import pytest
from builders import GIB, a_candidate, a_class, a_device, a_rate, a_report, a_reservation, a_snapshot
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.core.admission.offers import MOST_EXPECTED, expected_next
from conductor.model.decision import Decision
from conductor.model.limits import CounterRule, Limits
from conductor.model.snapshot import Candidate, Controls, JobClass

NODE = a_report(devices=(a_device(vram_total_mib=24000),), cpu_count=4.0)
LIMITS = Limits(
    vram_headroom_mib=0,
    ram_headroom_mib=0,
    default_disk_headroom_bytes=0,
    depth={"gpu": 9, "cpu": 9, "io": 9, "cloud": 9},
    keep_after_s=300.0,
)
SMALL = a_class(id="small", vram_mib=4000, cpu=1.0)
LARGE = a_candidate(a_class(id="large", vram_mib=20000, cpu=1.0), waiting=1)


def decided(*expected: JobClass, held: tuple[Candidate, ...] = (), **changes: Any) -> Decision:
    snapshot = a_snapshot(**{"nodes": (NODE,), "expected": expected, **changes})
    return decide(snapshot, held, LIMITS)


def offered(decision: Decision) -> list[str]:
    return [offer.class_id for offer in decision.offers]


def test_it_is_what_the_next_tick_would_decide_of_it():
    (offer,) = decided(SMALL).offers
    (admission,) = decided(held=(a_candidate(SMALL, waiting=1),)).admit

    assert offer.class_id == "small"
    assert offer.admission == replace(admission, reservation=replace(admission.reservation, job_id=""))


def test_nobody_is_expected_of_whom_nothing_was_said():
    assert decided().offers == ()


def test_offers_change_nothing_else():
    without, with_it = decided(held=(LARGE,)), decided(SMALL, held=(LARGE,))

    assert offered(with_it) == ["small"]
    assert replace(with_it, offers=()) == without


def test_one_that_holds_a_counter_is_not_refused_for_what_another_class_lacks():
    seat = replace(SMALL, needs=replace(SMALL.needs, counters={"seat": 1}))
    full = (a_reservation(vram_mib=10000, cpu=1.0),)
    snapshot = a_snapshot(nodes=(NODE,), expected=(seat,), reservations=full)

    decision = decide(snapshot, (LARGE,), replace(LIMITS, counters={"seat": CounterRule(limit=3)}))

    assert [hold.class_id for hold in decision.hold] == ["large"] and offered(decision) == ["small"]


def test_it_comes_behind_what_this_tick_starts():
    assert offered(decided(a_class(id="other", vram_mib=8000), held=(LARGE,))) == []


def test_who_waits_of_the_same_class_goes_first():
    more = replace(LARGE, job_class=SMALL, waiting=9)
    full = (a_reservation(vram_mib=22000, cpu=1.0),)
    assert offered(decided(SMALL, held=(more,), reservations=full)) == []


@pytest.mark.parametrize(
    "expected",
    [
        a_class(id="c", rates={"api": (1, 0)}),
        a_class(id="c", scratch_bytes=GIB),
        a_class(id="c", vram_mib=1000, devices=2),
        replace(SMALL, is_untried=True),
        a_class(id="c", vram_mib=25000),
    ],
    ids=["calls an API", "writes files", "several devices", "of an unknown kind", "too large"],
)
def test_no_offer_is_left_of(expected: JobClass):
    devices = (a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000))
    node = replace(NODE, devices=devices)
    assert offered(decided(expected, nodes=(node,), rates=(a_rate(),))) == []


@pytest.mark.parametrize(
    "controls",
    [Controls(is_draining=True), Controls(paused_lanes=("gpu",)), Controls(hold="the ledger was emptied")],
)
def test_nothing_is_offered_while_nothing_may_start(controls: Controls):
    assert offered(decided(SMALL, controls=controls)) == []


def test_a_place_that_is_kept_for_another_is_not_offered():
    """Passed over for so long that a place is kept free for it."""
    busy = (a_reservation(vram_mib=10000, cpu=1.0, expected_s=60.0),)
    (head,) = LARGE.heads
    slow = replace(SMALL, duration_s=3600.0, needs=replace(SMALL.needs, vram_mib=8000))
    assert offered(decided(slow, held=(LARGE,), reservations=busy)) == ["small"], "the control"

    kept = decided(slow, held=(LARGE,), reservations=busy, passed_over={head.job_id: 0.0})

    assert kept.hold[0].reserved_at == "node1/gpu0"
    assert offered(kept) == []


def test_of_few_classes_one_more_is_expected_those_admitted_last():
    classes = [a_candidate(a_class(id=f"c{n}", vram_mib=100, cpu=0.1), waiting=1) for n in range(6)]
    first = expected_next((), classes[:2], decided(held=tuple(classes[:2])))
    assert [c.id for c in first] == ["c0", "c1"]

    assert expected_next(first, classes[2:], Decision(now=0.0)) == first, "none of them was admitted"
    then = expected_next(first, classes[1:], decided(held=tuple(classes[1:])))

    assert [c.id for c in then] == ["c1", "c2", "c3", "c4"] and len(then) == MOST_EXPECTED
