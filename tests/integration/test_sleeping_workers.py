"""A node whose workers start when there is work for them, and leave when there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from node_scene import NodeScene, configure, until, until_gone

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    it = NodeScene(ledger, configure(project))
    yield it
    it.close()


def test_workers_start_when_something_is_handed_over_and_leave_when_nothing_is(scene: NodeScene):
    node = scene.run("node", env={"CONDUCTOR_WORKERS__IDLE_S": "0.2", "CONDUCTOR_TIMING__LEASE_S": "1"})
    report = until(scene.report)
    assert {q.queue: q.workers for q in report.queues} == {"cpu-here": 1}
    assert node.workers() == []
    for n in (1, 2):
        job = scene.begin(n)
        worker = node.worker()
        scene.release(n)
        scene.until_state(job, "done")
        until_gone([worker])
    assert "died" not in node.said
