"""A task that is written while workers run is found by them; one that is nowhere is held with words, and
never dead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import conductor
from node_scene import CONFIG, Command, project_processes, until

from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.live_catalogue import LiveCatalogue
from conductor.model.decision import Admission
from conductor.model.identity import identified
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, TaskDecl, to_line
from conductor.ports import Ledger
from tests.worker_scene import NODE, QUEUE, WorkerScene, a_scene, wait_until

FRESH = """
@task("mine.fresh", lane="cpu")
def fresh(args, ctx):
    return {"fresh": True}
"""


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def a_job(task: str, n: int = 0) -> JobSpec:
    return identified(JobSpec(v=1, id="nameless", workflow="w", task=task, args={"n": n}))


def put(scene: WorkerScene, spec: JobSpec) -> None:
    """As the dispatch of somebody who knows the task."""
    decl = TaskDecl(name=spec.task, lane="cpu", module="elsewhere")
    job_class = class_of(spec, decl, "night")
    scene.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
    reservation = Reservation(
        job_id=spec.id, attempt=1, class_id=job_class.id, task=spec.task, node=NODE, queue=QUEUE, lane="cpu"
    )
    assert scene.ledger.handover.admit(
        scene.epoch, [Admission(reservation=reservation, backlog="night")]
    ) == (None,)


def test_a_task_that_is_written_while_its_worker_runs_is_found(scene: WorkerScene) -> None:
    scene.worker()
    scene.wait_state(scene.put(a_job("mine.silent")), "done")
    (module,) = scene.settings.task_modules
    file = scene.folder / f"{module}.py"
    file.write_text(file.read_text() + FRESH)
    fresh = a_job("mine.fresh")

    put(scene, fresh)

    (receipt,) = scene.wait_state(fresh, "done", "dead")
    assert receipt.result == {"fresh": True}


def test_so_is_a_module_that_is_new_among_the_settings(scene: WorkerScene) -> None:
    scene.worker()
    scene.wait_state(scene.put(a_job("mine.silent")), "done")
    name = f"{scene.settings.task_modules[0]}_more"
    (scene.folder / f"{name}.py").write_text(f"from workers import task\n{FRESH}")
    config = scene.folder / CONFIG_NAME
    config.write_text(config.read_text().replace("task_modules = [", f'task_modules = ["{name}", '))
    fresh = a_job("mine.fresh")

    put(scene, fresh)

    (receipt,) = scene.wait_state(fresh, "done", "dead")
    assert receipt.result == {"fresh": True}


def test_one_that_is_nowhere_waits_with_words_and_leaves_no_receipt(scene: WorkerScene) -> None:
    scene.worker()
    absent = a_job("mine.absent")
    put(scene, absent)

    wait_until(lambda: "yet" in (message(scene, absent)), "it is said")

    view = scene.ledger.jobs.job(absent.id)
    assert view is not None and view.state == "waiting" and view.not_before is not None
    assert scene.receipts(absent) == [], "a rebuild would take it for an end"


def message(scene: WorkerScene, spec: JobSpec) -> str:
    view = scene.ledger.jobs.job(spec.id)
    return "" if view is None else view.message


def test_what_cannot_be_imported_just_now_leaves_the_tasks_as_they_were(scene: WorkerScene) -> None:
    catalogue = LiveCatalogue(scene.settings.for_code)
    (module,) = scene.settings.task_modules
    (scene.folder / f"{module}.py").write_text("half a line (")
    assert "mine.fresh" not in catalogue
    assert catalogue["mine.silent"].name == "mine.silent"


UP_TASKS = """
from workers import task

@task("up.known", lane="cpu")
def known(args, ctx):
    return {}
"""
#: The conductor's own reading takes until the test says so: a node has the task first.
MORE = """
import os, pathlib, time

while b"conduct" in pathlib.Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\\0"):
    if pathlib.Path(os.environ["CONDUCTOR_PROJECT"], "is_read").exists():
        break
    time.sleep(0.02)

@task("up.fresh", lane="cpu", canary=1)
def fresh(args, ctx):
    return {"fresh": True}
"""


def test_a_running_system_holds_a_task_that_nobody_knows_with_words_and_runs_it_once_it_is_written(
    tmp_path: Path,
):
    (tmp_path / "fresh_tasks.py").write_text(UP_TASKS)
    text = CONFIG.replace("[dashboard]", "[dashboard]\nis_on = false")
    roots = "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    (tmp_path / CONFIG_NAME).write_text(f'task_modules = ["fresh_tasks"]\n{text}{roots}')
    settings = load(tmp_path)
    up = Command(settings, "up")
    try:
        with open_ledger(settings) as ledger:
            spec = a_job("up.fresh")
            decl = TaskDecl(name=spec.task, lane="cpu", module="elsewhere")
            ledger.intake.put(
                "night", [Entry(job_id=spec.id, line=to_line(spec), job_class=class_of(spec, decl, "night"))]
            )
            words = "here, no worker of it knows the task 'up.fresh' yet"
            until(lambda: words in conductor("explain", spec.id, cwd=tmp_path).out, 40.0)
            view = ledger.jobs.job(spec.id)
            assert view is not None and (view.state, view.failures, view.attempts) == ("waiting", {}, 0)

            (tmp_path / "fresh_tasks.py").write_text(UP_TASKS + MORE)

            until(lambda: any("up.fresh" in report.code for report in ledger.reports.live()), 40.0)
            words = "the conductor has not read the task 'up.fresh' yet"
            until(lambda: words in conductor("explain", spec.id, cwd=tmp_path).out, 40.0)
            assert (job := ledger.jobs.job(spec.id)) and job.state == "waiting"
            (tmp_path / "is_read").touch()

            until(lambda: (job := ledger.jobs.job(spec.id)) and job.state == "done", 40.0)
            assert [s.verified for s in ledger.kinds.states()[0] if s.kind == "up.fresh"] == [1], "its canary"
    finally:
        up.close()
        for process in project_processes(tmp_path):
            process.kill()
