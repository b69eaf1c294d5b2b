"""What rq-dashboard shows of attempts that ended: why one failed, and nothing of what was put off."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from ledger_scenes import LedgerScene, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis.step_text import FOLDER
from conductor.core.failures.retry import TABLE
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import FAILED_BY_OPERATOR

QUEUE = "cpu-node1"
HASH = f"rq:job:{an_id('a')}-a1"


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def scene(client: Redis) -> LedgerScene:
    """One job that runs."""
    scene = redis_scene(client, redis_ledger(client))
    scene.put(an_entry("a"))
    scene.run("a")
    return scene


def shown(client: Redis, as_what: str) -> list[bytes]:
    return client.zrange(f"rq:{as_what}:{QUEUE}", 0, -1)


@pytest.mark.parametrize("then", [Retry(), Dead()])
def test_a_failed_attempt_shows_its_cause_and_message(
    client: Redis, scene: LedgerScene, then: Retry | Dead
) -> None:
    scene.fail("a", cause="timeout", then=then)

    assert shown(client, "failed") == [f"{an_id('a')}-a1".encode()]
    words = client.hget(HASH, "description").decode()
    assert re.search(r" \| timeout: .+", words), words


@pytest.mark.parametrize("cause", ["rate_limited", "endpoint_unavailable"])
def test_an_attempt_that_was_only_put_off_is_shown_as_no_failure(
    client: Redis, scene: LedgerScene, cause: Cause
) -> None:
    scene.fail("a", cause=cause, then=Retry())

    assert shown(client, "failed") == [] and not client.exists(HASH)


def test_an_attempt_that_failed_for_the_sake_of_others_is_put_off_too(
    client: Redis, scene: LedgerScene
) -> None:
    scene.fail("a", cause="cuda_oom", then=Retry(is_free=True))

    assert shown(client, "failed") == [] and not client.exists(HASH)


def test_what_is_put_off_so_long_that_it_dies_has_failed(client: Redis, scene: LedgerScene) -> None:
    scene.fail("a", cause="rate_limited", then=Dead())

    assert len(shown(client, "failed")) == 1
    assert b" | rate_limited: " in client.hget(HASH, "description")


def test_the_operators_words_are_shown_as_the_operators(client: Redis, scene: LedgerScene) -> None:
    scene.ledger.commands.fail(an_id("a"), "task_error", FAILED_BY_OPERATOR)
    scene.fail("a", cause="cancelled")

    assert b" | task_error: failed by the operator" in client.hget(HASH, "description")


def test_the_causes_that_are_put_off_are_those_without_a_budget() -> None:
    """The Lua steps cannot read the table of retries."""
    (line,) = [row for row in (FOLDER / "rq.lua").read_text().splitlines() if "PUT_OFF = {" in row]
    assert set(re.findall(r"(\w+) = true", line)) == {c for c, rule in TABLE.items() if rule.budget is None}
