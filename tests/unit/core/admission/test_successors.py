"""Who goes next where a running attempt ends: cases."""

from __future__ import annotations

from typing import Any

import pytest
from builders import (
    GIB,
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_reservation,
    a_snapshot,
    a_volume,
)

from conductor.core.admission.admission import decide
from conductor.model.chains import Chain, FileJob
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Controls, KindState, Reservation

FULL = a_report(devices=(a_device(vram_total_mib=24000),), cpu_count=4.0)
LIMITS = Limits(vram_headroom_mib=0, ram_headroom_mib=0, default_disk_headroom_bytes=0, has_successors=True)
WHOLE: dict[str, Any] = {"vram_mib": 20000, "cpu": 1.0}


def running(job_id: str = "job-00000001", **changes: Any) -> Reservation:
    return a_reservation(job_id, **{**WHOLE, "expected_s": 60.0, **changes})


def decided(*candidates: Candidate, limits: Limits = LIMITS, **changes: Any) -> Decision:
    return decide(
        a_snapshot(**{"nodes": (FULL,), "reservations": (running(),), **changes}), candidates, limits
    )


def pairs(decision: Decision) -> list[tuple[str, str]]:
    return [
        (successor.predecessor, successor.admission.reservation.job_id) for successor in decision.successors
    ]


def test_the_first_that_waits_for_the_device_is_successor_of_what_runs_there():
    decision = decided(a_candidate(a_class(**WHOLE), waiting=3))

    assert pairs(decision) == [("job-00000001", "class-a-00000000")]
    held = decision.successors[0].admission.reservation
    assert (held.queue, held.devices, held.vram_mib, held.attempt) == ("gpu-node1-gpu0", ("gpu0",), 20000, 1)
    assert decision.successors[0].admission.ceilings["node1/gpu0:vram_mib"] == 24000


def test_successors_are_off_unless_they_are_asked_for():
    assert decided(a_candidate(a_class(**WHOLE)), limits=Limits(vram_headroom_mib=0)).successors == ()


def test_naming_successors_changes_nothing_else():
    candidates = [
        a_candidate(a_class(id=f"c{i}", vram_mib=4000 * i, cpu=1.0), waiting=2) for i in range(2, 6)
    ]
    off = decided(
        *candidates, limits=Limits(vram_headroom_mib=0, ram_headroom_mib=0, default_disk_headroom_bytes=0)
    )
    on = decided(*candidates)

    assert (on.admit, on.hold, on.next_tick_s) == (off.admit, off.hold, off.next_tick_s)
    assert on.successors


def test_no_small_job_is_successor_while_a_large_one_before_it_waits_for_two_to_end():
    """Else the device would stay full of small ones for ever."""
    two = (running("job-00000001", vram_mib=12000), running("job-00000002", vram_mib=12000))
    large = a_candidate(a_class(id="large", vram_mib=20000), since=NOW - 100)
    small = a_candidate(a_class(id="small", vram_mib=12000))

    assert pairs(decided(large, small, reservations=two)) == []
    assert pairs(decided(small, reservations=two)) == [(r.job_id, "small-00000000") for r in two]


def test_the_first_in_order_is_successor_in_another_queue_where_only_one_would_do():
    cores = (running(cpu=4.0),)
    other = a_candidate(a_class("cpu", id="other", cpu=2.0), since=NOW - 100)

    decision = decided(other, a_candidate(a_class(**WHOLE)), reservations=cores)

    assert pairs(decision) == [("job-00000001", "other-00000000")]
    assert decision.successors[0].admission.reservation.queue == "cpu-node1"


def test_no_successor_where_the_first_in_order_could_go_to_one_of_several_other_queues():
    two = a_report(
        devices=(a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000)), cpu_count=4.0
    )
    cores = (running(queue="cpu-node1", lane="cpu", devices=(), vram_mib=0, cpu=4.0),)
    first = a_candidate(a_class(id="first", vram_mib=20000, cpu=2.0), since=NOW - 100)
    last = a_candidate(a_class("cpu", id="last", cpu=2.0))

    assert pairs(decided(first, last, nodes=(two,), reservations=cores)) == []


def test_who_waits_for_something_else_does_not_keep_a_successor_back():
    two = a_report(devices=(a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000)))
    here = (
        running("job-00000001"),
        running("job-00000002", queue="cpu-node1", lane="cpu", vram_mib=0, ram_mib=65536),
    )
    hungry = a_candidate(a_class("cpu", id="hungry", ram_mib=60000), since=NOW - 100)
    whole = a_candidate(a_class(id="whole", vram_mib=20000), waiting=2)

    found = pairs(decided(hungry, whole, nodes=(two,), reservations=here))

    assert ("job-00000001", "whole-00000001") in found, "its end gives no RAM"
    assert ("job-00000002", "hungry-00000000") in found


def test_a_disk_is_not_inherited_for_what_was_written_stays():
    node = a_report(
        devices=(a_device(vram_total_mib=24000),),
        volumes=(a_volume(total_bytes=10 * GIB, free_bytes=10 * GIB),),
    )
    ends = (running(disk={"scratch": 4 * GIB}),)
    fits = a_candidate(a_class(**WHOLE, scratch_bytes=6 * GIB))

    decision = decided(fits, nodes=(node,), reservations=ends)

    assert decision.successors[0].admission.ceilings["node1/scratch:bytes"] == 6 * GIB, (
        "less all that it may leave there"
    )
    assert (
        pairs(decided(a_candidate(a_class(**WHOLE, scratch_bytes=7 * GIB)), nodes=(node,), reservations=ends))
        == []
    )


def test_what_already_lies_in_the_queue_is_next():
    assert pairs(decided(a_candidate(a_class(**WHOLE)), queued={"gpu-node1-gpu0": 1})) == []


@pytest.mark.parametrize("state", ["admitted", "several devices"])
def test_nobody_follows_what_does_not_run_or_runs_on_several_devices(state: str):
    node = a_report(devices=(a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000)))
    if state == "admitted":
        held = (
            running(state="admitted"),
            running("job-00000002", queue="gpu-node1-gpu1", devices=("gpu1",), state="admitted"),
        )
    else:
        held = (running(devices=("gpu0", "gpu1")),)

    assert pairs(decided(a_candidate(a_class(**WHOLE)), nodes=(node,), reservations=held)) == []


def test_a_job_with_a_budget_or_of_a_chain_is_no_successor_and_is_passed_by_nobody():
    api = a_class(id="api", **WHOLE, rates={"api": (1, 0)})
    behind = a_candidate(a_class(id="z", **WHOLE))
    rates = (a_rate(requests_left=5, requests_limit=5),)
    assert pairs(decided(a_candidate(api, since=NOW - 100), behind, rates=rates)) == []

    head = a_candidate(a_class(id="chained", **WHOLE), since=NOW - 100)
    job = FileJob(job_id="chained-00000000", writes={"scratch:f": 1}, reads=())
    chain = Chain(id="1", root="scratch", jobs=(job,))
    assert pairs(decided(head, behind, chains=(chain,))) == []


def test_no_successors_in_a_paused_lane_nor_while_all_stops():
    whole = a_candidate(a_class(**WHOLE))
    assert pairs(decided(whole, controls=Controls(paused_lanes=("gpu",)))) == []
    assert pairs(decided(whole, controls=Controls(is_draining=True))) == []
    assert pairs(decided(whole, controls=Controls(hold="rebuilt"))) == []
    assert pairs(decided(whole, controls=Controls(draining_nodes=("node1",)))) == []


def test_a_canary_is_counted_by_ticks_and_no_successor():
    limits = Limits(vram_headroom_mib=0, canary={"media.cut": 2}, has_successors=True)
    assert pairs(decided(a_candidate(a_class(**WHOLE, kind="media.cut")), limits=limits)) == []


def test_a_closed_kind_has_no_successors_and_those_behind_it_have():
    closed = KindState(kind="media.cut:bad", failed=5, opened_at=NOW - 1, last_at=NOW - 1)
    bad = a_candidate(a_class(id="bad", **WHOLE, kind="media.cut:bad"), since=NOW - 100)

    found = pairs(decided(bad, a_candidate(a_class(id="good", **WHOLE)), kinds=(closed,)))

    assert found == [("job-00000001", "good-00000000")]


def test_where_a_place_is_kept_free_ticks_say_who_may_pass():
    limits = Limits(vram_headroom_mib=0, keep_after_s=100.0, has_successors=True)
    two = (running("job-00000001", vram_mib=12000), running("job-00000002", vram_mib=12000))
    large = a_candidate(a_class(id="large", vram_mib=20000))
    small = a_candidate(a_class(id="small", vram_mib=12000), since=NOW - 900)

    passed_over = {"large-00000000": NOW - 200}
    assert pairs(decided(large, small, reservations=two, limits=limits, passed_over=passed_over)) == []
