"""A worker with one preloaded behind what it runs, and a ledger that forgets it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from conductor.base.errors import Unreachable
from conductor.base.settings.settings import Settings
from conductor.model.decision import Admission, Successor
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, to_line
from conductor.ports import Attempts, Ledger
from tests.builders import a_spec
from tests.worker_scene import NODE, QUEUE, WorkerScene, a_scene, wait_file, wait_until
from workers.attempt.successor_feed import SuccessorFeed
from workers.isolation.stop_signals import Stopping

FILES = {"scratch": 5}
BYTES = "node1/scratch:bytes"


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, more="[timing]\nlease_s = 1.0\n")
    yield scene
    scene.close()


def waiting(folder: Path, n: int) -> JobSpec:
    return a_spec(
        n, task="mine.wait", args={"begun": str(folder / f"begun{n}"), "until": str(folder / f"until{n}")}
    )


def put_back(scene: WorkerScene, *specs: JobSpec) -> None:
    for spec in specs:
        job_class = class_of(spec, scene.catalogue[spec.task], "night")
        scene.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])


def preload(scene: WorkerScene, successor: JobSpec, after: JobSpec) -> None:
    held = Reservation(
        job_id=successor.id,
        attempt=1,
        class_id="c",
        task=successor.task,
        node=NODE,
        queue=QUEUE,
        lane="cpu",
        disk=FILES,
    )
    admission = Admission(reservation=held, backlog="night", ceilings={BYTES: 5})
    named = Successor(predecessor=after.id, attempt=1, admission=admission)
    handover = scene.ledger.handover
    handover.admit(scene.epoch, [], [named], handover.successions()[0])


def test_a_ledger_that_was_emptied_is_told_what_was_claimed(
    scene: WorkerScene, redis_url: str, tmp_path: Path
):
    """The one behind may have begun: it writes until the worker has its turn."""
    first, successor = scene.put(waiting(tmp_path, 0)), waiting(tmp_path, 1)
    put_back(scene, successor)
    scene.worker()
    wait_file(tmp_path / "begun0")
    preload(scene, successor, first)
    with Redis.from_url(redis_url) as redis:
        wait_until(
            lambda: not redis.keys("conductor:successor_feed:*"), "its worker has heard of it", scene.story
        )
        assert redis.hget("conductor:reserved", BYTES) == b"5"
        # Its body runs while the first one is not yet handed in: the lease of that one covers both.
        redis.flushall()
    put_back(scene, first, successor)

    wait_until(lambda: scene.state(first) == "running", "it is adopted", scene.story)
    (held,) = scene.ledger.handover.reservations()
    assert held.disk == FILES
    (tmp_path / "until0").touch()
    (tmp_path / "until1").touch()

    scene.wait_state(first, "done")
    assert scene.ledger.handover.reservations() == ()
    assert scene.state(successor) == "waiting", "nobody let it in"
    wait_until(lambda: "began too soon: another job goes first" in scene.story(), "it says why", scene.story)


class Away:
    """A ledger that cannot be reached for so many questions, and has nothing to say then."""

    def __init__(self, questions: float = math.inf) -> None:
        self.asked, self.over = threading.Event(), threading.Event()
        self._left = questions

    def next_preloaded(self, worker: str, timeout_s: float) -> None:
        self.asked.set()
        self._left -= 1
        if self._left >= 0:
            raise Unreachable("no Redis")
        self.over.wait(timeout_s)


def test_each_time_the_ledger_was_away_is_counted_for_it_may_have_forgotten_its_last_words():
    away = Away()
    lining = SuccessorFeed(cast(Attempts, away), "w1", Stopping())
    lining.start()
    try:
        assert away.asked.wait(10)
        wait_until(lambda: lining.breaks > 0, "it is counted")
    finally:
        lining.close()


def test_a_worker_says_what_it_holds_once_redis_is_back_whether_it_is_called_or_not():
    away, calls, called = Away(2), list[int](), threading.Event()

    def on_roll_call() -> None:
        calls.append(lining.breaks)
        called.set()

    lining = SuccessorFeed(cast(Attempts, away), "w1", Stopping(), on_roll_call)
    lining.start()
    try:
        assert called.wait(10)
        assert calls == [2], "once, and not while it was away"
    finally:
        lining.close()
        away.over.set()
