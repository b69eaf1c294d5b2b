"""A node that was killed, alone or with all of its host, and the next one of its name."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from node_scene import NodeScene, configure, until, until_gone

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    it = NodeScene(ledger, configure(project))
    yield it
    it.close()


def test_after_kill_9_a_new_node_of_the_name_starts_at_once(scene: NodeScene):
    first = scene.node()
    workers = first.workers()
    first.process.kill()
    first.process.wait()
    second = scene.run("node")
    until(lambda: (report := scene.report()) and report.pid == second.pid)
    # The old workers had nobody left: they go when they have nothing in hand.
    until_gone(workers, 10)


def test_what_died_with_its_node_is_given_back_and_struck_off_by_the_next_one(scene: NodeScene):
    first = scene.node()
    job = scene.begin(1)
    (worker,) = scene.ledger.workers.seen()
    host = [psutil.Process(first.pid), *first.below()]

    for process in host:
        process.kill()
    first.process.wait()
    scene.run("node")

    # There is no conductor that would notice a lease.
    view = scene.until_state(job, "waiting")
    assert view.cause == "worker_lost"
    assert view.message == f"worker {worker.name} (pid {worker.pid}) died with an earlier node of its host"
    until(lambda: worker.name not in [each.name for each in scene.ledger.workers.listed()])
