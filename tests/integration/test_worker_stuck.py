"""A worker whose main thread is stuck: bodies end at their time all the same, and what it holds it lets
go.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from conductor.base.redis_keys import PLAIN
from conductor.base.settings.settings import Settings
from conductor.model.ledger_entries import WorkerTurn
from conductor.model.receipt import Usage
from conductor.model.spec import Output
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import QUEUE, REPOSITORY, WorkerScene, a_scene, is_alive, wait_file, wait_until
from workers.attempt import lease_keeper
from workers.isolation.held_attempt import Held
from workers.isolation.stop_signals import Stopping
from workers.parent.intake import Intake

#: A disk that does not answer, and a watchdog of less patience.
DEAD_DISK = """
import os, sys, time
if sys.orig_argv[1:3] == ["-m", "workers"]:
    from workers.parent import watchdog
    watchdog.STANDS_LEAST_S, watchdog.LOOK_EVERY_S = 1.5, 0.2
    os.fsync = lambda fd: time.sleep(1000)
"""
#: The main thread does not come back to listen.
DEAF = """
import sys, time
if sys.orig_argv[1:3] == ["-m", "workers"]:
    from workers.parent import execution as body, watchdog
    watchdog.GRACE_S, watchdog.LOOK_EVERY_S = 0.5, 0.2
    real = body.Course.wait
    def wait(self, *limits):
        while self._host.pid and self._hand.given and not self.struck:
            time.sleep(0.05)
        return real(self, *limits)
    body.Course.wait = wait
"""


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def a_worker(scene: WorkerScene, folder: Path, site: str) -> subprocess.Popen[bytes]:
    (folder / "sitecustomize.py").write_text(site)
    return scene.worker(PYTHONPATH=f"{folder}{os.pathsep}{REPOSITORY}")


def test_a_body_is_ended_at_its_time_while_its_worker_does_not_listen(scene: WorkerScene, tmp_path: Path):
    spec = scene.put(a_spec(0, task="mine.hang", retry={"timeout": 0}))
    a_worker(scene, tmp_path, DEAF)

    (receipt,) = scene.wait_state(spec, "dead")
    assert receipt.cause == "timeout" and receipt.message == "ran longer than its 0.3 s and was killed"


def test_a_worker_stuck_in_publishing_ends_itself_and_its_child(scene: WorkerScene, tmp_path: Path):
    args = {"begun": str(tmp_path / "begun"), "until": str(tmp_path / "until")}
    spec = scene.put(
        a_spec(0, task="mine.wait", args=args, writes=(Output(path="published:0.txt"),), timeout_s=1.0)
    )
    worker = a_worker(scene, tmp_path, DEAD_DISK)
    child = int(wait_file(tmp_path / "begun"))

    (tmp_path / "until").touch()

    assert worker.wait(30) == 75, "its supervisor sees that"
    wait_until(lambda: not is_alive(child), "its child is gone too")
    assert "Stuck for" in scene.story() and spec.id in scene.story()
    assert scene.receipts(spec) == []


class Unwell:
    """A ledger whose answers nobody foresaw."""

    def __init__(self) -> None:
        self.asked = 0

    def renew(self, *_: Any) -> str:
        self.asked += 1
        raise ValueError("nobody foresaw this")


def test_the_keeper_goes_on_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease_keeper, "SAMPLE_S", 0.01)
    ledger: Any = Unwell()
    meter: Any = SimpleNamespace(sample=lambda: None, usage=Usage, beyond="")
    keeper = lease_keeper.Keeper(ledger, "w1", 0.03, Stopping(), lambda held: None)
    reservation: Any = SimpleNamespace(job_id="job00001", attempt=1, task="mine.write")
    keeper.hold(Held(reservation, meter, 0.0))
    keeper.start()
    try:
        wait_until(lambda: ledger.asked > 3, "it is renewed again and again")
    finally:
        keeper.close()


def test_what_a_lost_answer_had_started_goes_back_when_the_worker_leaves(scene: WorkerScene, redis_url: str):
    """Its turn was asked for and never heard: it is asked for again before the worker goes."""
    spec = scene.put(a_spec(0, task="mine.write"))
    with Redis.from_url(redis_url) as client:
        intake = Intake(client, QUEUE, "w1", PLAIN, lambda client: None)
        real, asked = intake._take, []

        def lost(turn: Any) -> Any:
            asked.append(real(turn))
            raise ConnectionError

        intake._take = lost
        flow_turn = turn_of("w1")
        with pytest.raises(ConnectionError):
            intake.take(lambda: flow_turn)
        assert scene.state(spec) == "running"
        taken = intake.settle()
        assert taken is not None
        assert [s.reservation.job_id for s in taken.turned.started] == [spec.id]
        assert intake.settle() is None
        intake.close()


def turn_of(worker: str) -> Any:
    return WorkerTurn(
        worker=worker, queue=QUEUE, lease_s=30.0, number="w1:1", most=1, is_idle=True, is_from_hand=True
    )
