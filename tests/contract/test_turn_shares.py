"""Several workers of one queue: each takes its share of it, and no less than is worth a turn. Redis alone
knows who listens to a queue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_scenes import LEASE_S, LedgerScene, an_entry, redis_scene

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.model.ledger_entries import WorkerTurn

QUEUE = "cpu-node1"


@pytest.fixture
def scene(redis_url: str) -> Iterator[LedgerScene]:
    """Twelve jobs in a queue that four workers listen to."""
    with connect(redis_url) as client:
        scene = redis_scene(client, redis_ledger(client))
        client.sadd(scene.keys.rq_workers_of(QUEUE), "w1", "w2", "w3", "w4")
        for name in "abcdefghijkl":
            scene.put(an_entry(name))
            assert scene.admit(name, cpu=0.0, ram_mib=0) is None
        yield scene


def taken(scene: LedgerScene, worker: str, pace_s: float) -> int:
    turn = WorkerTurn(
        worker=worker,
        queue=QUEUE,
        lease_s=LEASE_S,
        number=f"{worker}:1",
        most=8,
        budget_s=0.1,
        task_durations={"media.cut": pace_s},
    )
    return len(scene.ledger.attempts.turn(turn).started)


def test_jobs_that_are_worth_a_turn_each_are_shared_out(scene: LedgerScene):
    assert [taken(scene, f"w{n}", 0.01) for n in range(1, 5)] == [3, 3, 2, 1]


def test_what_is_over_at_once_is_not_shared_out_to_one_for_each(scene: LedgerScene):
    assert [taken(scene, f"w{n}", 0.0001) for n in range(1, 5)] == [8, 4, 0, 0]
