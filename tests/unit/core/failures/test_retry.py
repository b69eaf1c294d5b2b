"""The table of causes: how often, how long, and what a task or a line may change."""

from __future__ import annotations

import pytest

from conductor.core.failures.retry import TABLE, after_failure
from conductor.model.causes import CAUSES, Cause
from conductor.model.failure_outcome import Dead, Retry


def test_every_cause_has_its_row() -> None:
    assert set(TABLE) == set(CAUSES)


@pytest.mark.parametrize("cause", ["bad_input", "refused", "cancelled", "dependency_dead"])
def test_what_trying_again_cannot_help_is_dead_at_once(cause: Cause) -> None:
    assert after_failure(cause, {}, {}) == Dead()


@pytest.mark.parametrize(
    ("cause", "delays"),
    [
        ("worker_lost", [*[0.0] * 10, None]),
        ("server_error", [5, 10, 20, 40, 80, None]),
        ("cuda_oom", [5, 10, 20, None]),
        ("host_oom", [10, 20, None]),
        ("timeout", [0, None]),
        ("stalled", [0, None]),
        ("task_error", [5, 10, None]),
    ],
)
def test_each_cause_has_a_budget_and_a_back_off(cause: Cause, delays: list[float | None]) -> None:
    for earlier, delay in enumerate(delays):
        expected = Dead() if delay is None else Retry(delay_s=delay)
        assert (
            after_failure(
                cause, {cause: earlier, "task_error" if cause != "task_error" else "timeout": 9}, {}
            )
            == expected
        )


def test_long_waits_are_capped() -> None:
    assert after_failure("publish_failed", {"publish_failed": 59}, {}) == Retry(delay_s=600)
    assert after_failure("publish_failed", {"publish_failed": 60}, {}) == Dead()
    assert after_failure("no_space", {"no_space": 19}, {}) == Retry(delay_s=30)


def test_a_429_costs_nothing_and_waits_for_what_it_was_told() -> None:
    assert after_failure("rate_limited", {"rate_limited": 100_000}, {}, retry_after_s=12.5) == Retry(
        delay_s=12.5
    )
    assert after_failure("rate_limited", {"rate_limited": 100_000}, {}) == Retry(delay_s=10)


def test_a_task_or_line_replaces_budgets() -> None:
    assert after_failure("timeout", {"timeout": 2}, {"timeout": 3}) == Retry(delay_s=0)
    assert after_failure("task_error", {}, {"task_error": 0}) == Dead()


def test_a_line_says_how_long_its_retries_wait_and_an_api_knows_better() -> None:
    waits: dict[Cause, float] = {"publish_failed": 30.0, "worker_lost": 7.0}
    for earlier in range(5):
        assert after_failure(
            "publish_failed", {"publish_failed": earlier}, {"publish_failed": 5}, waits=waits
        ) == Retry(delay_s=30.0)
    assert (
        after_failure("publish_failed", {"publish_failed": 5}, {"publish_failed": 5}, waits=waits) == Dead()
    )
    assert after_failure("worker_lost", {}, {}, waits=waits) == Retry(delay_s=7.0)
    assert after_failure("task_error", {}, {}, waits=waits) == Retry(delay_s=5.0)
    assert after_failure("publish_failed", {}, {}, 90.0, waits=waits) == Retry(delay_s=90.0)
