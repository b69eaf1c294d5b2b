"""Somebody stops a process of a running system (SIGSTOP), each alone: work goes on, and the log says what
happened.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from node_scene import CONFIG, Command, NodeScene, project_processes, until, until_gone, with_tasks

from conductor.adapters.host.processes import live_pid
from conductor.adapters.host.stopped_processes import is_stopped
from conductor.adapters.open_ledger import open_ledger
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.node.single_instance import up_file
from conductor.views.doctor import examination

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="whether a child is stopped is read from /proc"
)


def new_project(folder: Path) -> Settings:
    text = with_tasks(folder) + CONFIG.replace("[timing]", "[timing]\nlease_s = 1.5").replace(
        "[dashboard]", "[dashboard]\nis_on = false"
    )
    (folder / CONFIG_NAME).write_text(f"{text}[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n")
    return load(folder)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Command]]:
    settings = new_project(tmp_path_factory.mktemp("stopped"))
    command = Command(settings, "up")
    try:
        until(lambda: live_pid(up_file(settings.layout)) == command.pid, 60.0)
        yield settings, command
    finally:
        command.close()
        for process in project_processes(settings.project):
            process.kill()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: is_stopped(pid))


def one(command: Command, *words: str) -> psutil.Process:
    """The process below it with these words."""

    def found() -> psutil.Process | None:
        for process in command.below():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if set(words) <= set(line) and "die_with_parent.py" not in " ".join(line):
                return process
        return None

    return until(found)


@pytest.mark.parametrize("part", ["conduct", "node"])
def test_a_part_that_was_stopped_is_started_again(running: tuple[Settings, Command], part: str):
    settings, command = running
    first = one(command, "conductor", part)
    name = {"conduct": "conductor"}.get(part, part)

    stop(first.pid)
    until(lambda: f"The {name} (pid {first.pid}) stood still for" in command.said)
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        scene.until_state(scene.put(ord(part[0]), 0.0), "done", 40.0)

    until_gone([first])


def test_a_worker_that_was_stopped_is_replaced_and_its_job_is_done(running: tuple[Settings, Command]):
    settings, command = running
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        scene.until_state(scene.put(1, 0.0), "done")  # The workers are there.
        job = scene.waits(2)
        scene.until_begun(2)
        worker = one(command, "workers", "cpu-here", "--queue")
        stop(worker.pid)
        scene.release(2)
        assert scene.until_state(job, "done", 40.0).failures == {"worker_lost": 1}
    assert f"(pid {worker.pid}) stood still for" in command.said


def test_the_own_valkey_is_woken(running: tuple[Settings, Command]):
    settings, command = running
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        pid = int(valkey.place_of(settings.valkey).pid_file.read_text())
        stop(pid)
        until(lambda: not is_stopped(pid))
        scene.until_state(scene.put(3, 0.0), "done")
    assert f"Valkey (pid {pid}) stood still, stopped by a signal: woken" in command.said


def test_a_whole_node_that_was_stopped_with_its_workers_leaves_none_of_them(
    running: tuple[Settings, Command],
):
    settings, command = running
    node = one(command, "conductor", "node")
    below = [process.pid for process in node.children(recursive=True)]
    for pid in (*below, node.pid):
        stop(pid)
    until(lambda: f"The node (pid {node.pid}) stood still for" in command.said)
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        scene.until_state(scene.put(4, 0.0), "done", 40.0)
    until(lambda: not any(is_stopped(pid) for pid in below))


def test_down_ends_an_up_that_was_stopped(tmp_path: Path):
    settings = new_project(tmp_path)
    up = Command(settings, "up", "--detach")
    assert up.wait(60) == 0, up.said
    pid = live_pid(up_file(settings.layout))
    assert pid is not None
    stop(pid)
    try:
        (line,) = [f for f in examination.stopped(settings) if f.what == "up"]
        assert f"kill -CONT {pid}" in line.advice
        down = Command(settings, "down")
        assert down.wait(40) == 0, down.said
        until(lambda: project_processes(tmp_path) == [])
    finally:
        for process in project_processes(tmp_path):
            process.kill()
