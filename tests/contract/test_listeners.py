"""What programs hear that know a job's id and Redis: one channel and one key a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ledger_scenes import LedgerScene, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.open_ledger import redis_ledger
from conductor.base.redis_keys import PLAIN, Keys
from conductor.model.failure_outcome import Dead
from conductor.model.told_event import ToldEvent


class Listener:
    """Of one job, by its two names alone."""

    def __init__(self, redis: Redis, name: str, prefix: str = "") -> None:
        self._redis, self._job = redis, f"{prefix}conductor:{{}}:{an_id(name)}"
        self._hearing: Any = redis.pubsub(ignore_subscribe_messages=True)
        self._hearing.subscribe(self._job.format("progress"))
        self._hearing.get_message(timeout=1)

    def heard(self) -> list[dict[str, Any]]:
        """Since it was asked last."""
        found: list[dict[str, Any]] = []
        while message := self._hearing.get_message(timeout=0.2):
            found.append(json.loads(message["data"]))
        return found

    def status(self) -> dict[str, Any] | None:
        text = self._redis.get(self._job.format("status"))
        return None if text is None else json.loads(text)  # type: ignore[arg-type]

    def kept_s(self) -> float:
        return float(self._redis.pttl(self._job.format("status"))) / 1000  # type: ignore[arg-type]


@pytest.fixture
def scene(valkey_client: Redis) -> LedgerScene:
    return redis_scene(valkey_client, redis_ledger(valkey_client))


def tell(scene: LedgerScene, name: str, progress: float, attempt: int = 1) -> None:
    fields = {"job_id": an_id(name), "attempt": attempt, "task": "media.cut", "about": "a cut of a.mp4"}
    scene.ledger.events.append(
        [ToldEvent(name="job.progress", at=5.0, fields={**fields, "progress": progress, "note": "half"})]
    )


def test_a_job_is_told_of_from_its_first_progress_to_its_end(scene: LedgerScene, valkey_client: Redis):
    listener = Listener(valkey_client, "a")
    scene.put(an_entry("a"))
    scene.run("a")
    assert (listener.heard(), listener.status()) == ([], None)

    tell(scene, "a", 0.25)
    tell(scene, "a", 0.5)

    said = {"job_id": an_id("a"), "state": "running", "attempt": 1, "task": "media.cut", "at": 5.0}
    said |= {"about": "a cut of a.mp4", "progress": 0.5, "note": "half"}
    assert [each["progress"] for each in listener.heard()] == [0.25, 0.5]
    assert listener.status() == said and listener.kept_s() > 3500
    valkey_client.pexpire(f"conductor:status:{an_id('a')}", 5000)
    scene.renew("a")
    assert listener.kept_s() > 3500, "one that says nothing for an hour runs all the same"

    scene.accept("a")
    tell(scene, "a", 0.75)

    (done,) = listener.heard()
    assert done == listener.status() and (done["state"], done["attempt"], done["progress"]) == ("done", 1, 1)


def test_a_killed_worker_leaves_no_job_that_is_called_running(scene: LedgerScene, valkey_client: Redis):
    listener = Listener(valkey_client, "a")
    scene.put(an_entry("a"))
    scene.run("a")
    tell(scene, "a", 0.5)

    scene.rescue("a")

    assert [each["state"] for each in listener.heard()] == ["running", "waiting"]
    tell(scene, "a", 0.9)
    assert (listener.status() or {})["state"] == "waiting", "what comes late is passed over"
    scene.run("a", attempt=2)
    tell(scene, "a", 0.9, attempt=1)
    tell(scene, "a", 0.1, attempt=2)
    told = [(each["state"], each["attempt"], each.get("progress")) for each in listener.heard()]
    assert told == [("admitted", 2, None), ("running", 2, None), ("running", 2, 0.1)]
    scene.fail("a", 2, "bad_input", Dead())
    (dead,) = listener.heard()
    assert (dead["state"], dead["cause"]) == ("dead", "bad_input")


def test_the_end_of_a_job_that_was_over_at_once_is_told_and_soon_forgotten(
    scene: LedgerScene, valkey_client: Redis
):
    listener, other = Listener(valkey_client, "a"), Listener(valkey_client, "b")
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    scene.accept("a")
    scene.cancel("b")

    assert [each["state"] for each in listener.heard()] == ["done"]
    assert (listener.status() or {})["state"] == "done" and listener.kept_s() <= 60
    assert [each["state"] for each in other.heard()] == ["cancelled"]
    assert other.status() is None, "a million that never ran, cancelled at once, leave nothing"


def test_one_that_was_over_at_once_and_goes_on_is_told_of_again(scene: LedgerScene, valkey_client: Redis):
    listener = Listener(valkey_client, "a")
    scene.put(an_entry("a"))
    scene.run("a")
    scene.fail("a", 1, "bad_input", Dead())
    assert [each["state"] for each in listener.heard()] == ["dead"]

    assert scene.ledger.commands.retry(an_id("a"))
    scene.run("a", attempt=2)

    assert [each["state"] for each in listener.heard()] == ["waiting", "admitted", "running"]
    assert listener.kept_s() > 3500


@pytest.mark.parametrize("keys", [PLAIN, Keys("night")], ids=["plain", "prefix"])
def test_each_project_has_names_of_its_own(valkey_client: Redis, keys: Keys):
    listener = Listener(valkey_client, "a", "night:")
    scene = redis_scene(valkey_client, redis_ledger(valkey_client, keys=keys), keys)
    scene.put(an_entry("a"))
    scene.run("a")
    scene.accept("a")
    assert len(listener.heard()) == (0 if keys is PLAIN else 1)
