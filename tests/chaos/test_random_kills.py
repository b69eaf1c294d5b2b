"""Thousands of jobs under hundreds of kills, by a fixed seed and a fresh one: nothing lost, nothing published twice."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos import play

#: Seeds that once found something (each with what it found) stay.
FIXED = 2  # doubled: killed between receipt and accept; and an attempt's folder left behind
JOBS, KILLS, GAP_S = 3000, 200, 0.2


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [FIXED, None], ids=["fixed seed", "fresh seed"])
def test_random_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, seed: int | None, capsys: pytest.CaptureFixture[str]
):
    chosen = seed if seed is not None else int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    play.say(capsys, [f"seed {chosen} (again: CHAOS_SEED={chosen})"])

    figures, faults = play.run(tmp_path, chosen, JOBS, KILLS, GAP_S)

    play.say(capsys, figures.lines())
    assert faults == []
