"""Budgets of APIs in simulated time: by the clock that is moved, by the minute, and by what is configured."""

from __future__ import annotations

from builders import a_reservation

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.analysis.simulation.rates import SWEEP_AT, ManualLog, SimulatedRates
from conductor.base.settings.endpoint_settings import Rate

NOW = 1_700_000_000.0


def started(budgets: dict[str, Rate]) -> tuple[ManualClock, SimulatedRates]:
    clock = ManualClock(NOW)
    return clock, SimulatedRates(budgets, memory_ledger(clock).calls, clock)


def test_what_is_called_counts_for_a_minute_of_simulated_time():
    clock, rates = started({"api": Rate(requests_per_min=2)})
    ids = ["job-00000001", "job-00000002"]
    for job_id in ids:
        rates.take(job_id, 1, {"api": (1, 0)})
    running = [a_reservation(job_id, lane="cloud") for job_id in ids]

    assert rates.states(running)[0].requests_left == 0
    clock.advance(59)
    assert rates.states(running)[0].requests_left == 0
    clock.advance(2)
    assert rates.states(running)[0].requests_left == 0, "it may call yet"
    assert rates.states([])[0].requests_left == 0
    clock.advance(61)
    assert rates.states([])[0].requests_left == 2


def test_twice_the_quota_lets_twice_as_many_through():
    for quota in (3, 6):
        _, rates = started({"api": Rate(requests_per_min=quota)})
        assert rates.states([])[0].requests_left == quota


def test_the_log_forgets_what_no_window_counts():
    clock = ManualClock(NOW)
    log = ManualLog(clock)
    log.acquire_entry("api", 0, 0, SWEEP_AT)
    clock.advance(200)
    log.acquire_entry("api", 0, 0, 2)
    assert log.get_moving_window("api", 0, 1000) == (NOW + 200, 2)
