"""Who does not get on, and what will happen when: a table of signs."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW, a_reservation

from conductor.core.failures.stuck import sign_of
from conductor.model.spec import Estimate, Needs, Request

REQUEST = Request(lane="cpu", needs=Needs(), timeout_s=3600, stall_s=60, retry={}, estimate=Estimate())
LEASE_S = 10.0


@pytest.mark.parametrize(
    ("held", "lease_in", "asked", "sign", "then"),
    [
        ({}, 8, None, None, ""),
        ({"quiet_s": 20}, 8, None, None, ""),
        ({"quiet_s": 40}, 8, None, "stalled", "killed as stalled in 18 s"),
        ({}, 2, None, "silent", "taken from it in 2.0 s"),
        ({}, -3, None, "silent", "taken from it by the conductor's next tick"),
        ({"quiet_s": 40}, 5, "requeue", "asked", "waiting again when it has stopped, in 5.0 s at the latest"),
        ({}, 5, "fail", "asked", "dead when it has stopped, in 5.0 s at the latest"),
        ({"started_at": NOW - 100, "expected_s": 10}, 8, None, "slow", "killed at its limit in 58 min 20 s"),
        ({"started_at": NOW - 25, "expected_s": 1}, 8, None, None, ""),
        ({"started_at": NOW - 100, "expected_s": 10, "frozen_s": 80}, 8, None, None, ""),
        (
            {"started_at": NOW - 200, "expected_s": 10, "frozen_s": 100},
            8,
            None,
            "slow",
            "killed at its limit in 58 min 20 s",
        ),
        (
            {"quiet_s": 400, "frozen_since": NOW - 300, "frozen_for": "somebody is at this machine"},
            *(8, None, "frozen", "goes on when that is over; its time stands meanwhile"),
        ),
        (
            {"state": "admitted", "admitted_at": NOW - 40},
            None,
            None,
            "unstarted",
            "starts when a worker there is free",
        ),
        ({"state": "admitted", "admitted_at": NOW - 5}, None, None, None, ""),
    ],
)
def test_a_sign_and_what_follows(
    held: dict[str, Any], lease_in: float | None, asked: str | None, sign: str | None, then: str
) -> None:
    until = None if lease_in is None else NOW + lease_in
    found = sign_of(a_reservation(**held), REQUEST, until, LEASE_S, asked, NOW)
    assert (found.sign if found else None) == sign
    if found:
        assert found.then == then


def test_a_task_unknown_here_is_still_watched_for_its_heartbeat() -> None:
    found = sign_of(a_reservation(quiet_s=1e6), None, NOW - 1, LEASE_S, None, NOW)
    assert found is not None and found.sign == "silent"
    assert sign_of(a_reservation(quiet_s=1e6), None, NOW + 9, LEASE_S, None, NOW) is None
