"""Eight hosts, and a nemesis that kills, pulls cables and sets clocks: nothing lost, nothing done twice."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos import play
from tests.chaos.jobs import mixed
from tests.chaos.nemesis import schedule
from tests.hosts.hosts_nemesis import WEIGHTS, HostsNemesis
from tests.hosts.hosts_world import a_hosts_world

NAMES = tuple(f"h{n}" for n in range(8))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_eight_hosts_lose_nothing_and_double_nothing(
    clock_stub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    play.say(capsys, [f"seed {seed} (again: CHAOS_SEED={seed})"])

    with a_hosts_world(tmp_path, NAMES, conductors=3, clock_stub=clock_stub) as world:
        world.dispatch(mixed(300, random.Random(seed)))
        figures, faults = play.struck(world, schedule(seed, 20, 0.7, WEIGHTS), HostsNemesis(world))

    # Those go by the logs of conductors whose clocks were wrong.
    figures.failover_s.clear()
    play.say(capsys, figures.lines())
    assert faults == []
