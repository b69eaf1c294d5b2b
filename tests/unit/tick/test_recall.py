"""What was handed over before the operator held its place, and had not begun, goes back at no cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from builders import NOW, a_class, a_report
from loop_scene import TIMING, a_conductor, dispatch, publish, take

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.model.pilot import EngineState
from conductor.model.snapshot import Reservation
from conductor.ports import Ledger
from conductor.ports.operator import Control
from conductor.tick.loop import Conductor

SAID: dict[str, Callable[[Control], object]] = {
    "a host that drains": lambda control: control.set_draining(True, "alpha"),
    "all that drain": lambda control: control.set_draining(True),
    "a lane": lambda control: control.set_paused("gpu", True),
    "a device": lambda control: control.set_device_paused("alpha/gpu0", True),
    "a backlog": lambda control: control.set_backlog_paused("b", True),
}


def test_what_would_outlive_its_node_goes_back_before_it_begins() -> None:
    clock = ManualClock(NOW)
    ledger = memory_ledger(clock)
    publish(ledger, a_report("pilot", workers=1, ends_at=NOW + 100))
    dispatch(ledger, a_class("cpu", duration_s=80.0), 2)
    conductor = a_conductor(ledger)
    conductor.tick()
    first, second = ledger.handover.reservations()
    take(ledger, first)

    clock.advance(15)
    publish(ledger, a_report("pilot", workers=1, ends_at=NOW + 100))
    conductor.tick()
    assert len(ledger.handover.reservations()) == 2, "there is time for it yet"
    clock.advance(10)
    publish(ledger, a_report("pilot", workers=1, ends_at=NOW + 100))
    conductor.tick()

    assert [r.job_id for r in ledger.handover.reservations()] == [first.job_id], "what runs stays"
    job = ledger.jobs.job(second.job_id)
    assert job is not None
    assert (job.state, dict(job.failures)) == ("waiting", {})


@pytest.mark.parametrize("word", SAID)
def test_what_nobody_had_begun_goes_back_and_what_runs_stays(word: str) -> None:
    ledger = memory_ledger(ManualClock(NOW))
    conductor, first, second = one_runs_and_one_waits_on_alpha(ledger)

    SAID[word](ledger.control)
    conductor.tick()
    conductor.tick()

    held = {r.job_id: r for r in ledger.handover.reservations()}
    assert (held[first.job_id].node, held[first.job_id].state) == ("alpha", "running")
    goes_elsewhere = word in ("a host that drains", "a device")
    assert (second.job_id in held) == goes_elsewhere
    if goes_elsewhere:
        assert (held[second.job_id].node, held[second.job_id].attempt) == ("beta", 2)
    job = ledger.jobs.job(second.job_id)
    assert job is not None
    assert not job.failures, "it costs nothing"


def test_what_lies_with_a_host_whose_report_ran_out_under_this_leader_goes_to_another_at_once() -> None:
    clock = ManualClock(NOW)
    ledger = memory_ledger(clock)
    conductor, first, second = one_runs_and_one_waits_on_alpha(ledger)
    conductor.tick()
    clock.advance(TIMING.leader_ttl_s / 2)
    assert nodes_of(ledger) == {first.job_id: "alpha", second.job_id: "alpha"}, "its report stands"
    ledger.reports.withdraw("alpha")

    conductor.tick()
    conductor.tick()

    assert nodes_of(ledger) == {first.job_id: "alpha", second.job_id: "beta"}


def test_a_leader_that_has_not_heard_a_host_waits_whether_it_is_only_late() -> None:
    clock = ManualClock(NOW)
    ledger = memory_ledger(clock)
    conductor, first, second = one_runs_and_one_waits_on_alpha(ledger)
    ledger.reports.withdraw("alpha")
    clock.advance(2 * TIMING.leader_ttl_s)

    conductor.tick()
    clock.advance(9)
    conductor.tick()
    assert nodes_of(ledger) == {first.job_id: "alpha", second.job_id: "alpha"}, "it may only be late"
    clock.advance(2)
    publish(ledger, a_report("beta"))
    conductor.tick()
    conductor.tick()

    assert nodes_of(ledger) == {first.job_id: "alpha", second.job_id: "beta"}
    job = ledger.jobs.job(second.job_id)
    assert job is not None
    assert not job.failures


def test_a_host_that_reports_to_the_new_leader_keeps_what_lies_there() -> None:
    clock = ManualClock(NOW)
    ledger = memory_ledger(clock)
    conductor = one_waits_on_alpha(ledger)
    for _ in range(3):
        ledger.reports.withdraw("alpha")
        clock.advance(2 * TIMING.leader_ttl_s)
        conductor.tick()
        clock.advance(8)
        publish(ledger, a_report("alpha"))
        conductor.tick()

    (held,) = ledger.handover.reservations()
    assert held.attempt == 1


def test_an_engine_that_is_silent_keeps_what_it_was_given() -> None:
    clock = ManualClock(NOW)
    ledger = memory_ledger(clock)
    conductor = one_waits_on_alpha(ledger)
    assert conductor.epoch is not None
    ledger.pilots.write(conductor.epoch, EngineState(name="alpha", mode="jobs"))
    ledger.reports.withdraw("alpha")
    for _ in range(4):
        clock.advance(10)
        conductor.tick()

    (held,) = ledger.handover.reservations()
    assert (held.node, held.attempt) == ("alpha", 1)


def one_waits_on_alpha(ledger: Ledger) -> Conductor:
    publish(ledger, a_report("alpha"))
    dispatch(ledger, a_class(vram_mib=1024), 1)
    conductor = a_conductor(ledger)
    conductor.tick()
    return conductor


def one_runs_and_one_waits_on_alpha(ledger: Ledger) -> tuple[Conductor, Reservation, Reservation]:
    """And beta could take what waits."""
    publish(ledger, a_report("alpha"))
    dispatch(ledger, a_class(vram_mib=1024), 2)
    conductor = a_conductor(ledger)
    conductor.tick()
    first, second = ledger.handover.reservations()
    take(ledger, first)
    publish(ledger, a_report("beta"))
    return conductor, first, second


def nodes_of(ledger: Ledger) -> dict[str, str]:
    return {r.job_id: r.node for r in ledger.handover.reservations()}
