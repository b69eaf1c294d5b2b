"""A host whose person is there freezes what runs: node, worker and a body that counts, on a real Redis."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from builders import a_spec
from desk import Desk
from node_scene import CONFIG, Command, NodeScene, configure, until, until_gone

from conductor.adapters.files.receipt_log import read_receipts
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.spec import to_line
from conductor.ports import Ledger

YIELDING = """
[nodes.here]
yield_to = "input"
idle_minutes = 0.01
when_yielding = "freeze"
"""
#: Short enough to be over while it stands.
TIMEOUT_S = 6.0
TASKS = f'''
import os, subprocess, sys, time
from pathlib import Path
from workers import task

@task("count.up", lane="cpu", timeout_s={TIMEOUT_S})
def count_up(args, ctx):
    """Counts in a file, as does a program that it starts, until a file is there, or its time is up."""
    files = [Path(args["file"]), Path(args["file"] + ".below")]
    program = "import sys, time\\nwhile True: open(sys.argv[1], 'a').write('x'); time.sleep(0.01)"
    below = subprocess.Popen([sys.executable, "-c", program, str(files[1])])
    n = 0
    while not os.path.exists(args["until"]):
        n += 1
        files[0].with_suffix(".draft").write_text(str(n))
        files[0].with_suffix(".draft").replace(files[0])
        if ctx.should_stop() or ctx.remaining_s() <= 0:
            raise RuntimeError("its time is up")
        time.sleep(0.01)
    below.kill()
    return {{"n": n, "left_s": ctx.remaining_s()}}
'''


class FrozenScene(NodeScene):
    def __init__(self, ledger: Ledger, project: Settings, desk: Desk) -> None:
        name = f"count_tasks_{os.urandom(4).hex()}"
        (project.project / f"{name}.py").write_text(TASKS, encoding="utf-8")
        file = project.project / CONFIG_NAME
        file.write_text(f'task_modules = ["{name}"]\n{file.read_text()}')
        super().__init__(
            ledger, configure(project, CONFIG.replace("[timing]", "[timing]\nlease_s = 3.0") + YIELDING)
        )
        self.catalogue = load_catalogue(self.settings.task_modules, self.settings.project)
        self.desk = desk
        self.file, self.until_file = self.settings.project / "count", self.settings.project / "until"

    def counting(self) -> tuple[str, Command]:
        """A job that counts, on a node of its own."""
        node = self.node(self.desk.env)
        spec = a_spec(1, task="count.up", args={"file": str(self.file), "until": str(self.until_file)})
        job_class = class_of(spec, self.catalogue[spec.task], "night")
        self.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
        self.admit(spec.id)
        until(lambda: self.file.exists() and self.file.with_name("count.below").exists())
        return spec.id, node

    def frozen(self) -> tuple[str, Command, list[psutil.Process]]:
        """The same, with a person who has just come; the processes that stand still."""
        job, node = self.counting()
        self.desk.comes()
        until(lambda: (r := self.job(job).reservation) and r.frozen_since)
        stopped = [p for p in node.below() if is_stopped(p)]
        assert len(stopped) == 2, "the child, and the program that its body has started"
        return job, node, stopped

    def count(self) -> int:
        return int(self.file.read_text())

    def goes_on(self) -> bool:
        before = self.count()
        time.sleep(0.1)
        return self.count() > before

    def said(self, *words: str) -> str:
        command = self.run(*words)
        command.wait()
        return command.said


def is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def scene(ledger: Ledger, project: Settings, tmp_path: Path) -> Iterator[FrozenScene]:
    (folder := tmp_path / "desk").mkdir()
    it = FrozenScene(ledger, project, Desk(folder))
    yield it
    it.close()


def test_a_frozen_body_counts_no_further_keeps_its_lease_and_goes_on_with_the_time_it_had_left(
    scene: FrozenScene,
):
    job, node, _ = scene.frozen()
    frozen_at, count = time.monotonic(), scene.count()
    assert "frozen since" in scene.said("status") and "somebody is at this machine" in scene.said(
        "explain", job
    )
    # Longer than the job's time, and than the lease after which one that somebody has stopped is replaced.
    until(lambda: time.monotonic() - frozen_at > max(TIMEOUT_S, scene.settings.timing.lease_s) + 1.0)
    view = scene.job(job)
    assert (view.state, view.attempts, scene.count()) == ("running", 1, count)

    scene.desk.leaves()

    until(scene.goes_on)
    stood_s = time.monotonic() - frozen_at
    until(lambda: (r := scene.job(job).reservation) and r.frozen_since is None)
    scene.until_file.touch()
    scene.until_state(job, "done")
    (receipt,) = read_receipts(scene.settings.receipts_dir)
    assert stood_s - 2.5 < receipt.frozen_s < stood_s + 2.5
    assert receipt.ended_at - receipt.started_at > TIMEOUT_S
    assert receipt.seconds < TIMEOUT_S, "what is learned of it is the time that it ran"
    assert abs(receipt.result["left_s"] - (TIMEOUT_S - receipt.seconds)) < 0.5
    assert "stood still" not in node.said


def test_a_worker_killed_while_its_body_is_frozen_leaves_nothing_that_is_stopped(scene: FrozenScene):
    job, node, stopped = scene.frozen()
    worker = node.worker()

    worker.kill()

    scene.until_state(job, "waiting")
    until_gone(stopped)
    until(lambda: not list(scene.settings.state_dir.glob("frozen/*/*")))


def test_a_node_killed_while_a_body_is_frozen_lets_it_go_on_to_its_end(scene: FrozenScene):
    job, node, stopped = scene.frozen()

    node.process.kill()

    until(scene.goes_on)
    assert not any(map(is_stopped, stopped))
    scene.until_file.touch()
    scene.until_state(job, "done")


def test_node_and_worker_killed_at_once_the_next_node_finds_nothing_stopped(scene: FrozenScene):
    job, node, stopped = scene.frozen()
    worker = node.worker()
    node.process.send_signal(signal.SIGSTOP)
    worker.kill()
    node.process.kill()
    node.process.wait()
    scene.desk.leaves()

    scene.node(scene.desk.env)

    until_gone(stopped)
    until(lambda: not list(scene.settings.state_dir.glob("frozen/*/*")))
    assert job


def test_a_frozen_attempt_hears_the_operator(scene: FrozenScene):
    job, _, stopped = scene.frozen()
    scene.said("requeue", job)
    scene.until_state(job, "waiting")
    assert not any(map(is_stopped, stopped))
    scene.desk.leaves()
    until(lambda: (report := scene.report()) and not report.obstacles)
    scene.admit(job)
    until(scene.goes_on)
    scene.desk.comes()
    until(lambda: (r := scene.job(job).reservation) and r.frozen_since)

    scene.said("cancel", job)

    scene.until_state(job, "cancelled")
    assert not any(map(is_stopped, stopped))


def test_a_drain_lets_a_frozen_body_finish(scene: FrozenScene):
    job, node, _ = scene.frozen()

    node.process.send_signal(signal.SIGTERM)

    until(scene.goes_on)
    scene.until_file.touch()
    assert node.wait() == 0
    assert scene.job(job).state == "done"
