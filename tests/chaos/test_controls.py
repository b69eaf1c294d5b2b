"""The tests are tested: with a safeguard taken out the checker goes red, and stock RQ does not stand what
we stand.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos import checker, play, stock_rq
from tests.chaos.jobs import EFFECTS, made
from tests.chaos.nemesis import send
from tests.chaos.test_crash_points import arm, reached
from tests.chaos.world import ChaosWorld, a_world


def late(tmp_path: Path, broken: str, point: str, seconds: float) -> list[str]:
    """A worker is held up at a point until another has the job, and let go: what the checker says, if
    `broken` is out.

    Who is to lose a lease is stopped by a signal (and the node's watch is out: it would kill who stands
    still for a lease). Who has none yet only hangs with its main thread, which that watch does not see.
    """
    stop = tmp_path / "stop"
    stop.mkdir()
    env = {"CHAOS_STOP": str(stop), "CHAOS_BREAK": broken, "CHAOS_HANG": "1" if seconds else ""}
    job = made(0, "chaos.step", {"n": 0, "seconds": seconds}, outputs=1)
    # Armed before any worker waits for work: one that waits already takes its next job past «moved».
    arm(tmp_path, point, job)
    with a_world(tmp_path, nodes=1, conductors=1, cpu=2, io=0, is_hooked=True, env=env) as world:
        world.put(job)
        if seconds:
            world.until((stop / "reached").exists, "the point is reached")
            world.until(lambda: begun(world, job.id, 2), "another attempt has begun")
            (stop / "go").touch()
        else:
            pid = reached(world)
            world.until(lambda: world.state(job.id) == "d", "the other is done")
            send(pid, signal.SIGCONT)
            # It may have to find out that its files were swept away, and leave a note beside them: what it
            # leaves is looked at when it has. Without a safeguard it says nothing.
            with suppress(AssertionError):
                world.until(lambda: "attempt 1" in world.story(), "the late one has come to its end", 5.0)
        world.until(lambda: world.state(job.id) == "d" and not world.active(), "both have ended")
        return play.checked(world)


def begun(world: ChaosWorld, job_id: str, attempt: int) -> int:
    return checker.read_effects(world.folder / EFFECTS)[job_id, attempt]


@pytest.mark.parametrize(
    ("broken", "point", "seconds", "word"),
    [
        ("link", "before note", 0.0, "altered"),
        ("superseded", "before receipt", 0.0, "doubled"),
        ("fence", "moved", 2.0, "twice"),
    ],
)
def test_without_a_safeguard_the_checker_goes_red(
    tmp_path: Path, broken: str, point: str, seconds: float, word: str
):
    with_it, without_it = tmp_path / "with", tmp_path / "without"
    for folder in (with_it, without_it):
        folder.mkdir()

    assert late(with_it, "", point, seconds) == []
    assert any(fault.startswith(word) for fault in late(without_it, broken, point, seconds))


def test_stock_rq_does_a_job_twice_whose_body_is_killed_after_its_output_is_there(tmp_path: Path):
    assert stock_rq.times_published(tmp_path) == {0: 2, 1: 1, 2: 1}
