"""What of that which waits a pilot would do."""

from __future__ import annotations

import pytest
from builders import a_candidate, a_class

from conductor.core.pilots.waiting_work import WaitingWork, jobs_at_once, waiting_work
from conductor.model.decision import Hold, Verdict
from conductor.model.pilot import PilotShape
from conductor.model.reason import Reason

HEADROOM = {"vram": 512, "ram": 1024}
SHAPE = PilotShape(lanes=("cpu", "gpu"), cpus=8, ram_mib=9216, devices=2, vram_mib=24_576, time_s=3600.0)
NO_WORKERS = Verdict(gate="report", passed=False, reason=Reason.NO_WORKERS)
NO_ROOM = Verdict(gate="cpu", passed=False, reason=Reason.NO_ROOM)
PAUSED = Verdict(gate="hold", passed=False, reason=Reason.LANE_PAUSED)
ENDS = Verdict(gate="hold", passed=False, reason=Reason.NODE_ENDS)
RATE = Verdict(gate="rate", passed=False, reason=Reason.BUDGET_SHORT)


def work(*verdicts: Verdict, **needs: object) -> WaitingWork:
    job_class = a_class("cpu", **{"cpu": 2.0, "duration_s": 100.0, **needs})
    hold = Hold(
        class_id=job_class.id, backlog="b", task="t", lane=job_class.lane, waiting=40, verdicts=verdicts
    )
    return waiting_work([hold], [a_candidate(job_class, waiting=40)], SHAPE, HEADROOM)


def test_the_seconds_of_a_pilot_are_those_of_all_jobs_side_by_side() -> None:
    assert work(NO_ROOM) == WaitingWork(jobs=40, pilot_s=1000.0, is_stranded=False)
    assert work(NO_WORKERS).is_stranded


@pytest.mark.parametrize("verdict", [PAUSED, RATE], ids=lambda v: v.reason)
def test_nobody_asks_for_hosts_for_what_another_host_does_not_open(verdict: Verdict) -> None:
    assert work(NO_ROOM, verdict).jobs == 0
    assert work(ENDS).jobs == 40, "the node there ends too soon: another one would not"


@pytest.mark.parametrize(
    ("needs", "at_once"),
    [
        ({"cpu": 2.0}, 4),
        ({"cpu": 9.0}, 0),
        ({"cpu": 1.0, "ram_mib": 4096}, 2),
        ({"cpu": 1.0, "ram_mib": 9000}, 0),
        ({"cpu": 1.0, "vram_mib": 12_000}, 4),
        ({"cpu": 1.0, "vram_mib": 24_500}, 0),
        ({"cpu": 1.0, "vram_mib": 20_000, "devices": 2}, 1),
        ({"cpu": 1.0, "duration_s": 4000.0}, 0),
    ],
    ids=str,
)
def test_as_many_run_side_by_side_as_the_pilot_holds(needs: dict[str, float], at_once: int) -> None:
    assert jobs_at_once(a_class("cpu", **needs), SHAPE, HEADROOM) == at_once


def test_a_lane_that_pilots_do_not_serve_is_none_of_theirs() -> None:
    assert jobs_at_once(a_class("io", cpu=1.0), SHAPE, HEADROOM) == 0
