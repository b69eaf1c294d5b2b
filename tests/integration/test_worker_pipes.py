"""Between a worker and its child nothing blocks without a limit: long lines, half a line, a parent that
stood still.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from conductor.base.settings.settings import Settings
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.integration.test_worker_successors import preload, put_back
from tests.worker_scene import WorkerScene, a_scene, wait_file, wait_until

#: Longer than a socket's buffer, and not longer than a manifest's line may be.
PAD = "x" * 900_000

MORE_TASKS = '''
@task("mine.hang_on", lane="cpu", timeout_s=2.0, retry={"timeout": 0})
def hang_on(args, ctx):
    open(args["begun"], "w").write("1")
    time.sleep(1000)

@task("mine.much", lane="cpu", timeout_s=20.0, retry={"timeout": 0})
def much(args, ctx):
    """A long answer, once it may."""
    open(args["begun"], "w").write("1")
    while not os.path.exists(args["until"]):
        time.sleep(0.01)
    return {"text": "y" * 900_000, "n": len(args["pad"])}

@task("mine.half", lane="cpu", timeout_s=2.0, retry={"timeout": 0, "worker_lost": 0})
def half(args, ctx):
    """Says half a line to its worker, and no more: its channel is the second argument of its child."""
    os.write(int(sys.argv[2]), b'{"say":"progress","fraction":0.5')
    time.sleep(1000)

@task("mine.brief", lane="cpu", timeout_s=1.0, retry={"timeout": 0})
def brief(args, ctx):
    open(args["begun"], "w").write("1")
    while not os.path.exists(args["until"]):
        time.sleep(0.01)
    return {}
'''


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, tasks=MORE_TASKS)
    yield scene
    scene.close()


def much(folder: Path, n: int) -> JobSpec:
    args = {"begun": str(folder / f"begun{n}"), "until": str(folder / f"until{n}"), "pad": PAD}
    return a_spec(n, task="mine.much", args=args)


def heard_of(scene: WorkerScene, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        wait_until(
            lambda: not redis.keys("conductor:successor_feed:*"),
            "its worker has heard of the successor",
            scene.story,
        )


def test_a_line_longer_than_a_pipe_behind_a_body_that_hangs_stops_no_deadline(
    scene: WorkerScene, redis_url: str, tmp_path: Path
):
    first, successor = (
        a_spec(0, task="mine.hang_on", args={"begun": str(tmp_path / "begun")}),
        much(tmp_path, 1),
    )
    scene.put(first)
    put_back(scene, successor)
    scene.worker()
    wait_file(tmp_path / "begun")
    preload(scene, successor, first)
    heard_of(scene, redis_url)
    (tmp_path / "until1").touch()

    (receipt,) = scene.wait_state(first, "dead")
    assert receipt.cause == "timeout"
    wait_until(
        lambda: scene.state(successor) != "running", "nobody holds the successor for ever", scene.story
    )


def test_long_lines_both_ways_at_once_pass_each_other(scene: WorkerScene, redis_url: str, tmp_path: Path):
    first, successor = much(tmp_path, 0), much(tmp_path, 1)
    scene.put(first)
    put_back(scene, successor)
    scene.worker()
    wait_file(tmp_path / "begun0")
    preload(scene, successor, first)
    heard_of(scene, redis_url)
    (tmp_path / "until1").touch()

    (tmp_path / "until0").touch()

    for spec in (first, successor):
        (receipt,) = scene.wait_state(spec, "done")
        assert receipt.outcome == "ok" and receipt.result["n"] == len(PAD)


def test_half_a_line_costs_its_attempt_and_no_more(scene: WorkerScene):
    spec = scene.put(a_spec(0, task="mine.half"))
    scene.worker()

    scene.wait_state(spec, "dead")
    scene.wait_state(scene.put(a_spec(1, task="mine.silent")), "done")


def test_a_parent_that_stood_still_calls_nobody_late_who_was_done(scene: WorkerScene, tmp_path: Path):
    """The body has a second, and is over in time; its worker stands still until that second is long past."""
    worker = scene.worker()
    args = {"begun": str(tmp_path / "begun"), "until": str(tmp_path / "until")}
    spec = scene.put(a_spec(0, task="mine.brief", args=args))
    wait_file(tmp_path / "begun")
    worker.send_signal(signal.SIGSTOP)
    (tmp_path / "until").touch()
    # What passes is the subject here, not something that is waited for.
    time.sleep(2.4)
    worker.send_signal(signal.SIGCONT)

    (receipt,) = scene.wait_state(spec, "done", "dead")
    assert receipt.outcome == "ok", receipt.message
