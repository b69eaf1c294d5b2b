"""What is taken back from a child has one owner all the time: nobody may hold what nobody runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.integration.test_worker_successors import preload, put_back, waiting
from tests.worker_scene import REPOSITORY, WorkerScene, a_scene, wait_file, wait_until

#: As on a cold disk: the child says that it is there, and takes a second to come to what it was given.
SLOW = """
import sys, time
if "workers.isolation.child_main" in sys.orig_argv:
    time.sleep(1.0)
"""


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, more="[timing]\nlease_s = 1.0\n")
    yield scene
    scene.close()


def test_one_whose_successor_is_taken_back_before_it_began_begins(scene: WorkerScene, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    scene.worker(PYTHONPATH=f"{tmp_path}{os.pathsep}{REPOSITORY}")
    died = scene.put(a_spec(7, task="mine.die"))
    wait_until(lambda: scene.state(died) in ("waiting", "dead"), "its child is gone", scene.story)
    first, successor = waiting(tmp_path, 0), waiting(tmp_path, 1)
    scene.put(first)
    put_back(scene, successor)
    wait_until(lambda: scene.state(first) == "running", "it is started", scene.story)
    preload(scene, successor, first)
    handover = scene.ledger.handover
    handover.admit(scene.epoch, [], [], handover.successions()[0])  # The next tick names nobody.

    wait_file(tmp_path / "begun0")
    (tmp_path / "until0").touch()
    scene.wait_state(first, "done")
    assert scene.state(successor) == "waiting"
