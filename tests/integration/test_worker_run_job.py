"""`run_job`, the one function RQ knows: a whole attempt in whatever process calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conductor.base.settings.settings import Settings
from conductor.model.spec import Output
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import QUEUE, REPOSITORY, WorkerScene, a_scene


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def python(scene: WorkerScene, code: str) -> str:
    environment = {**os.environ, "CONDUCTOR_PROJECT": str(scene.folder), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=scene.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_attempt_is_run_whole_and_a_second_call_is_not_its_turn(scene: WorkerScene):
    spec = scene.put(a_spec(task="mine.write", writes=(Output(path="published:x.txt"),)))
    code = f"from workers.runner import run_job; print(run_job({spec.id!r}, 1))"

    assert python(scene, code).splitlines()[-1] == "ok"
    assert python(scene, code).splitlines()[-1] == "not its turn"

    (receipt,) = scene.receipts(spec)
    assert scene.state(spec) == "done" and "-exec-" in receipt.worker
    assert (scene.folder / "published/x.txt").exists() and not scene.staged()


def test_a_scheduler_runs_it_by_a_command_that_tells_how_it_went(scene: WorkerScene):
    good = scene.put(a_spec(1, task="mine.write", writes=(Output(path="published:y.txt"),)))
    words = [sys.executable, "-m", "conductor", "exec", good.id[:10], "--attempt"]
    environment = {**os.environ, "CONDUCTOR_PROJECT": str(scene.folder), "PYTHONPATH": str(REPOSITORY)}

    def run(attempt: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*words, attempt], env=environment, cwd=scene.folder, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout.strip(), done.stderr

    code, _, err = run("2")
    assert code == 1 and "not the turn of attempt 2" in err and "Traceback" not in err
    assert run("1")[:2] == (0, "ok")
    assert scene.state(good) == "done" and (scene.folder / "published/y.txt").exists()
    (receipt,) = scene.receipts(good)
    assert "-exec-" in receipt.worker
    assert run("1")[0] == 1 and len(scene.receipts(good)) == 1, "it is over"


def test_a_stock_rq_worker_runs_it_too(scene: WorkerScene, redis_url: str):
    spec = scene.put(a_spec(task="mine.write"))

    python(
        scene,
        f"from redis import Redis; from rq import Worker; from rq.serializers import JSONSerializer;"
        f"Worker([{QUEUE!r}], connection=Redis.from_url({redis_url!r}), "
        "serializer=JSONSerializer).work(burst=True)",
    )

    assert scene.state(spec) == "done"
    assert [receipt.outcome for receipt in scene.receipts(spec)] == ["ok"]
