"""The contract suites run over both: the real Valkey and the in-memory twin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_scenes import Scene, redis_scene

from conductor.adapters.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.ports import Ledger
from conductor.wiring import connect, redis_ledger


@pytest.fixture(params=["redis", "memory"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    if request.param == "redis":
        with connect(request.getfixturevalue("redis_url")) as client:
            yield redis_scene(client, redis_ledger(client))
        return
    clock = ManualClock(1_700_000_000.0)
    ledger = memory_ledger(clock)
    assert isinstance(ledger.handover, MemoryHandover)
    yield Scene(ledger, clock.advance, ledger.handover.take)


@pytest.fixture
def any_ledger(scene: Scene) -> Ledger:
    return scene.ledger
