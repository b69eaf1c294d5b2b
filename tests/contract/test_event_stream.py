"""The stream of events, over Redis and over the twin."""

from __future__ import annotations

import threading

import msgspec
from ledger_scenes import LedgerScene
from redis import Redis

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory.event_stream import MemoryEventStream
from conductor.adapters.memory.store import Store
from conductor.adapters.redis.event_stream import RedisEventStream
from conductor.adapters.redis.scripts import Scripts
from conductor.model.told_event import ToldEvent, is_event_id, order_of


def an_event(number: int, **fields: object) -> ToldEvent:
    return ToldEvent(name="job.done", at=100.0 + number, message=f"no. {number} \x1b[31m", fields=fields)


def test_what_was_told_is_read_in_its_order_with_ids_that_grow(scene: LedgerScene) -> None:
    stream = scene.ledger.events
    assert stream.bounds() == ("0-0", "0-0")
    assert stream.read("") == ()
    assert stream.latest(3) == ()
    stream.append([])
    stream.append([an_event(n, job_id="a" * 12, seconds=1.5) for n in range(3)])
    scene.let(0.01)
    stream.append([an_event(3, job_ids=["b" * 12])])

    read = stream.read("")

    assert [msgspec.structs.replace(each, id="") for each in read[:3]] == [
        an_event(n, job_id="a" * 12, seconds=1.5) for n in range(3)
    ]
    assert all(is_event_id(each.id) for each in read)
    assert sorted(read, key=lambda each: order_of(each.id)) == list(read)
    assert stream.bounds() == (read[0].id, read[3].id)
    assert stream.read(read[1].id) == read[2:]
    assert stream.read("", limit=2) == read[:2]
    assert stream.read(read[3].id) == ()
    assert stream.latest(2) == read[2:]
    assert [each.job_ids for each in read[2:]] == [("a" * 12,), ("b" * 12,)]


def test_who_waits_for_the_next_one_is_woken_by_it(scene: LedgerScene) -> None:
    stream = scene.ledger.events
    stream.append([an_event(1)])
    last = stream.bounds()[1]
    found: list[tuple[ToldEvent, ...]] = []
    reader = threading.Thread(target=lambda: found.append(stream.read(last, wait_s=5.0)))
    reader.start()
    scene.let(0.01)
    stream.append([an_event(2)])
    reader.join(10)
    assert [each.at for each in found[0]] == [102.0]
    assert stream.read(stream.bounds()[1], wait_s=0.01) == (), "nobody waits for ever"


def test_the_oldest_go(valkey_client: Redis) -> None:
    kept = RedisEventStream(Scripts(valkey_client), most=100)
    kept.append([an_event(n) for n in range(1000)])
    # «About»: whole nodes of the stream's tree go, a hundred entries each.
    assert 100 <= len(kept.read("")) <= 300
    assert kept.read("")[-1].at == 1099.0

    twin = MemoryEventStream(Store(ManualClock(1.0)), most=100)
    twin.append([an_event(n) for n in range(1000)])
    assert [each.at for each in twin.read("")] == [1000.0 + n for n in range(100)]


def test_an_entry_of_another_version_is_passed_over(valkey_client: Redis) -> None:
    scripts = Scripts(valkey_client)
    stream = RedisEventStream(scripts)
    valkey_client.xadd(scripts.keys.events, {"e": "{}"})
    valkey_client.xadd(scripts.keys.events, {"other": "x"})
    stream.append([an_event(1)])
    assert [each.at for each in stream.read("")] == [101.0]
