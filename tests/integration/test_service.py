"""`conductor up` and `conductor node` as a service manager has them: they say that they are there, that they
live and that they go, and a drain ends in its time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from node_scene import CONFIG, Command, NodeScene, project_processes, until
from notify_socket import notify_socket

from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import CONFIG_NAME, Settings, load

TASKS = """
import os, time
from pathlib import Path
from workers import task

@task("service.nap", lane="cpu")
def nap(args, ctx):
    Path(args["mark"]).write_text(os.environ.get("NOTIFY_SOCKET", "none"))
    time.sleep(60)
    return {}

@task("service.until", lane="cpu")
def wait(args, ctx):
    Path(args["mark"]).touch()
    while not Path(args["until"]).exists():
        time.sleep(0.05)
    return {}
"""
DRAIN_FOR_S = 1.0


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    (tmp_path / "service_tasks.py").write_text(TASKS)
    config = CONFIG.replace("[dashboard]", "[dashboard]\nis_on = false")
    roots = "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    (tmp_path / CONFIG_NAME).write_text(f'task_modules = ["service_tasks"]\n{config}{roots}')
    yield load(tmp_path)
    for process in project_processes(tmp_path):
        process.kill()


@pytest.mark.parametrize("word", ["up", "node"])
def test_it_is_ready_lives_and_drains_within_its_time(settings: Settings, word: str):
    place = settings.project / "n"
    with notify_socket(place) as line, open_ledger(settings) as ledger:
        env = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "1000000"}
        command = Command(settings, word, "--drain-for", str(DRAIN_FOR_S), env=env)
        feeder = None if word == "up" else Command(settings, "conduct")
        try:
            line.until("READY=1")
            line.until("WATCHDOG=1")
            if word == "up":
                line.until("STATUS=No job has been dispatched")
            scene = NodeScene(ledger, settings)
            mark = settings.project / "began"
            job = scene.put(1, 2.0, task="service.nap", args={"mark": str(mark)}, timeout_s=90)
            until(mark.exists)
            until(lambda: mark.read_text() == "none")  # no body can speak for its service

            told_at = time.monotonic()
            command.process.terminate()
            line.until("STOPPING=1")
            beats = line.hear().count("WATCHDOG=1")
            until(lambda: line.hear().count("WATCHDOG=1") > beats)
            assert command.wait(20) == 130, command.said
            assert time.monotonic() - told_at >= DRAIN_FOR_S
            assert scene.job(job).state == "waiting"
            assert scene.job(job).failures == {}
        finally:
            command.close()
            if feeder is not None:
                feeder.close()
    assert "Traceback" not in command.said


def test_up_is_restarted_beside_a_node_of_its_own_service_and_the_work_goes_on(settings: Settings):
    """What docs/operations.md says of an upgrade on one host."""
    with ExitStack() as stack, open_ledger(settings) as ledger:

        def started(word: str) -> Command:
            command = Command(settings, word)
            stack.callback(command.close)
            return command

        node = started("node")
        until(lambda: "is up" in node.said, 60.0)
        first = started("up")
        scene = NodeScene(ledger, settings)
        mark, go = settings.project / "began", settings.project / "go"
        args = {"mark": str(mark), "until": str(go)}
        job = scene.put(1, 2.0, task="service.until", args=args, timeout_s=90)
        until(mark.exists)
        mark.unlink()
        first.process.terminate()
        assert first.wait() == 0, first.said
        assert "Using the node that already runs here" in first.said

        second = started("up")
        until(lambda: "Leading" in second.said, 60.0)
        assert scene.job(job).state == "running"
        go.touch()
        scene.until_state(job, "done")
        assert not mark.exists(), "its body ran once"
