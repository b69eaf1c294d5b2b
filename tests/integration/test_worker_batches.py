"""Short jobs share their steps, and nothing else: who dies, hangs or lasts takes no neighbour along."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_spec
from worker_scene import WorkerScene, a_scene, wait_file, wait_until

from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from conductor.settings import Settings

TASK = """
@task("mine.brief", lane="cpu", timeout_s=60.0)
def brief(args, ctx):
    if "signal" in args:
        os.kill(os.getpid(), args["signal"])
    if "begun" in args:
        open(args["begun"], "w").write("it began")
        while not os.path.exists(args["until"]) and not ctx.should_stop():
            time.sleep(0.01)
    if ctx.should_stop():
        raise RuntimeError("it was told to stop")
    return {"pid": os.getpid()}
"""


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, tasks=TASK)
    yield scene
    scene.close()


def a_row(scene: WorkerScene, special: dict[int, dict[str, object]], jobs: int = 30) -> list[JobSpec]:
    """Jobs that are over at once, but for some."""
    retry = {"task_error": 0}
    args = [{"n": n, **special.get(n, {})} for n in range(jobs)]
    return [scene.put(a_spec(n, task="mine.brief", args=args[n], retry=retry)) for n in range(jobs)]


def run_again_if_given_back(scene: WorkerScene, spec: JobSpec) -> bool:
    """What was started and had not begun while another took long waits again, and was charged with nothing."""
    wait_until(lambda: scene.state(spec) != "running", "it runs no more")
    view = scene.ledger.backlog.job(spec.id)
    assert view is not None
    assert not view.failures
    if view.state == "waiting":
        scene.admit(spec, attempt=view.attempts + 1)
    return view.state == "waiting"


def test_a_body_that_dies_among_others_is_the_only_one_charged(scene: WorkerScene):
    row = a_row(scene, {20: {"signal": int(signal.SIGSEGV)}})

    scene.worker()

    (receipt,) = scene.wait_state(row[20], "dead")
    assert receipt.exit_code == -signal.SIGSEGV
    for spec in (*row[:20], *row[21:]):
        run_again_if_given_back(scene, spec)
        (other,) = scene.wait_state(spec, "done")
        assert other.outcome == "ok"


def test_what_waits_behind_a_long_one_goes_back_at_no_cost(scene: WorkerScene, tmp_path: Path):
    begun, until = tmp_path / "begun", tmp_path / "until"
    row = a_row(scene, {20: {"begun": str(begun), "until": str(until)}})

    scene.worker()
    wait_file(begun)
    wait_until(lambda: scene.state(row[20]) == "running", "the long one runs")
    # One that had been started with it may run nowhere, however long the long one lasts.
    wait_until(lambda: all(scene.state(spec) in ("waiting", "admitted") for spec in row[21:]), "the rest is free")

    assert [run_again_if_given_back(scene, spec) for spec in row[21:]].count(True), "none had been started with it"
    until.touch()
    for spec in row:
        assert [r.outcome for r in scene.wait_state(spec, "done")] == ["ok"]


def test_to_cancel_one_stops_no_other(scene: WorkerScene, tmp_path: Path):
    begun, until = tmp_path / "begun", tmp_path / "until"
    row = a_row(scene, {20: {"begun": str(begun), "until": str(until)}})
    scene.worker()
    wait_file(begun)

    scene.ledger.control.cancel(row[20].id)

    scene.wait_state(row[20], "cancelled")
    for spec in row[21:]:
        run_again_if_given_back(scene, spec)
        assert [r.outcome for r in scene.wait_state(spec, "done")] == ["ok"]


def test_a_worker_that_is_told_to_leave_gives_back_what_has_not_begun(scene: WorkerScene, tmp_path: Path):
    begun, until = tmp_path / "begun", tmp_path / "until"
    row = a_row(scene, {20: {"begun": str(begun), "until": str(until)}})
    worker = scene.worker()
    wait_file(begun)

    worker.send_signal(signal.SIGTERM)
    until.touch()

    assert worker.wait(30) == 0
    assert {scene.state(spec) for spec in row[:21]} == {"done"}
    assert {scene.state(spec) for spec in row} <= {"done", "waiting", "admitted"}
