"""Redis fails over twice in a run, behind real Sentinels: nothing lost, doubled or wrong.

A fresh seed in a run of the suite; the same again with CHAOS_SEED=7. A hundred of them by hand:
`python -m tests.chaos.failovers`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos import failovers, play


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_failovers_under_load_lose_and_double_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(100, 10**6))
    # One that was killed takes no time to come back; the others do, and come last.
    kinds = ["kill", random.Random(seed).choice(["stop", "quiet", "split"])]
    play.say(capsys, [f"{' and '.join(kinds)}, seed {seed} (again: CHAOS_SEED={seed})"])

    done, faults = failovers.run(tmp_path, seed, kinds)

    play.say(capsys, failovers.said(done))
    assert faults == []
    assert max(each.served_s for each in done) < failovers.LIMIT_S
