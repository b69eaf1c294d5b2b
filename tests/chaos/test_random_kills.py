"""Thousands of jobs under hundreds of kills, by a fixed seed and a fresh one: nothing lost, nothing
published twice.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos import play
from tests.chaos.jobs import made
from tests.chaos.nemesis import schedule
from tests.chaos.world import a_world

#: Seeds that once found something (each with what it found) stay.
FIXED = 2  # doubled: killed between receipt and accept; and an attempt's folder left behind
GAP_S = 0.2
#: Both in two minutes on two cores: a worker's start costs a second of a core, and 200 kills some 90 of them.
SIZES = {"fixed seed": (FIXED, 3000, 200), "fresh seed": (None, 1500, 100)}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "jobs", "kills"), SIZES.values(), ids=SIZES)
def test_random_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, seed: int | None, jobs: int, kills: int, capsys: pytest.CaptureFixture[str]
):
    chosen = (
        seed
        if seed is not None
        else int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    )
    play.say(capsys, [f"seed {chosen} (again: CHAOS_SEED={chosen})"])

    figures, faults = play.run(tmp_path, chosen, jobs, kills, GAP_S)

    play.say(capsys, figures.lines())
    assert faults == []


@pytest.mark.slow
@pytest.mark.alone
def test_a_death_is_answered_at_once_where_there_is_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Single deaths on a calm machine: what recovery itself takes, without the queue for the few workers
    left.
    """
    jobs = [made(n, "chaos.step", {"n": n, "seconds": 0.3}, outputs=1) for n in range(240)]
    with a_world(tmp_path, nodes=1, cpu=3, io=0, depth=1) as world:
        world.put(*jobs)
        blows = schedule(5, 24, 0.8, {"worker": 2, "body": 2, "worker+body": 1, "leader": 1})
        figures, faults = play.struck(world, blows)

    play.say(capsys, figures.lines())
    assert faults == []
    died = sorted(second for values in figures.restart_s.values() for second in values)
    assert died[len(died) // 2] < 1.0
    assert max(figures.failover_s) < 5.0
