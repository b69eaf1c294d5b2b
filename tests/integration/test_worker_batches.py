"""Short jobs share their steps, and nothing else: who dies, hangs or lasts takes no neighbour along."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from builders import a_spec
from worker_scene import WorkerScene, a_scene, wait_file, wait_until

from conductor.base.settings.settings import Settings
from conductor.model.spec import JobSpec
from conductor.ports import Ledger

TASK = """
@task("mine.brief", lane="cpu", timeout_s=60.0)
def brief(args, ctx):
    if "signal" in args:
        os.kill(os.getpid(), args["signal"])
    if "begun" in args:
        open(args["begun"], "w").write("it began")
        while not os.path.exists(args["until"]) and not ctx.should_stop():
            time.sleep(0.01)
    if "stops" in args:
        os.kill(os.getppid(), signal.SIGSTOP)
    if "edits" in args:
        with open(__file__, "a") as module:
            module.write("# another version\\n")
    if "fails" in args:
        raise ValueError("it is broken")
    if "ran" in args:
        open(args["ran"], "w").close()
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
    """What was started and had not begun while another took long waits again, and was charged with
    nothing.
    """
    wait_until(lambda: scene.state(spec) != "running", "it runs no more")
    view = scene.ledger.jobs.job(spec.id)
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


def test_behind_a_failure_nothing_begins_that_was_given_before_it_was_heard(
    scene: WorkerScene, tmp_path: Path
):
    """A bad commit fails faster than its worker can follow, which is stopped here so that it cannot follow
    at all.
    """
    ran = [tmp_path / f"ran{n}" for n in range(30)]
    row = a_row(
        scene, {n: {"ran": str(file)} for n, file in enumerate(ran)} | {20: {"fails": True, "stops": True}}
    )
    worker = scene.worker()
    wait_until(lambda: status_of(worker.pid) == "T", "the failure has stopped it")
    (child,) = psutil.Process(worker.pid).children()

    wait_until(lambda: is_idle(child), "its child has come to the end of what it was given")
    assert [file.exists() for file in ran] == [True] * 20 + [False] * 10

    worker.send_signal(signal.SIGCONT)
    scene.wait_state(row[20], "dead")
    assert [run_again_if_given_back(scene, spec) for spec in row[21:]].count(True), (
        "none had been given with it"
    )
    for spec in row[21:]:
        assert [r.outcome for r in scene.wait_state(spec, "done")] == ["ok"]


def test_a_child_that_is_replaced_after_a_failure_owes_nothing_to_the_next(scene: WorkerScene):
    """Its code changed meanwhile: what it had still to pass over is gone with it."""
    row = a_row(scene, {20: {"fails": True, "edits": True}})

    scene.worker()

    scene.wait_state(row[20], "dead")
    for spec in (*row[:20], *row[21:]):
        run_again_if_given_back(scene, spec)
        assert [r.outcome for r in scene.wait_state(spec, "done")] == ["ok"]


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_idle(child: psutil.Process) -> bool:
    """It waits for its parent's word: no time passes on its clock."""
    before = child.cpu_times()
    return all(status_of(child.pid) == "S" for _ in range(2000)) and child.cpu_times() == before


def test_what_waits_behind_a_long_one_goes_back_at_no_cost(scene: WorkerScene, tmp_path: Path):
    begun, until = tmp_path / "begun", tmp_path / "until"
    row = a_row(scene, {20: {"begun": str(begun), "until": str(until)}})

    scene.worker()
    wait_file(begun)
    wait_until(lambda: scene.state(row[20]) == "running", "the long one runs")
    # One that had been started with it may run nowhere, however long the long one lasts.
    wait_until(
        lambda: all(scene.state(spec) in ("waiting", "admitted") for spec in row[21:]), "the rest is free"
    )

    assert [run_again_if_given_back(scene, spec) for spec in row[21:]].count(True), (
        "none had been started with it"
    )
    until.touch()
    for spec in row:
        assert [r.outcome for r in scene.wait_state(spec, "done")] == ["ok"]


def test_to_cancel_one_stops_no_other(scene: WorkerScene, tmp_path: Path):
    begun, until = tmp_path / "begun", tmp_path / "until"
    row = a_row(scene, {20: {"begun": str(begun), "until": str(until)}})
    scene.worker(CONDUCTOR_TIMING__LEASE_S="0.6")
    wait_file(begun)

    scene.ledger.commands.cancel(row[20].id)

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
