"""What `admit.lua` writes is what RQ's own `enqueue_job` writes; RQ and rq-dashboard read it as theirs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from ledger_scenes import LedgerScene, a_receipt, a_reservation, an_entry, an_id, redis_scene
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.rq import envelope
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead

QUEUE = "cpu-node1"
TIMES = {b"created_at", b"enqueued_at"}


@pytest.fixture
def rq_scene(redis_url: str) -> Iterator[LedgerScene]:
    with connect(redis_url) as client:
        yield redis_scene(client, redis_ledger(client))


@pytest.fixture
def client(rq_scene: LedgerScene) -> Redis:
    assert rq_scene.redis is not None
    return rq_scene.redis


def rq_job(client: Redis, name: str, attempt: int = 1) -> Job:
    return Job.fetch(f"{an_id(name)}-a{attempt}", connection=client, serializer=JSONSerializer)


def fields(client: Redis, key: str) -> dict[bytes, bytes]:
    return client.hgetall(key)  # pyright: ignore[reportReturnType]


def by_rq_itself(client: Redis, name: str) -> dict[bytes, bytes]:
    """The hash that RQ's own code writes for the same call, made in another queue's name and then taken
    away.
    """
    job = Job.create(
        func=envelope.FUNCTION,
        args=[an_id(name), 1],
        id="by-rq",
        connection=client,
        serializer=JSONSerializer,
        description=f"media.cut {an_id(name)[:8]} attempt 1",
        timeout=-1,
        result_ttl=envelope.RESULT_TTL_S,
        failure_ttl=envelope.FAILURE_TTL_S,
    )
    Queue(QUEUE, connection=client, serializer=JSONSerializer).enqueue_job(job)
    written = fields(client, job.key)
    client.lrem(f"rq:queue:{QUEUE}", 0, "by-rq")
    client.delete(job.key)
    return written


def test_the_hash_equals_the_one_enqueue_job_writes(rq_scene: LedgerScene, client: Redis) -> None:
    rq_scene.put(an_entry("a"))
    rq_scene.admit("a")
    ours = fields(client, f"rq:job:{an_id('a')}-a1")
    theirs = by_rq_itself(client, "a")
    other = {*TIMES, b"data"}
    assert {k: v for k, v in ours.items() if k not in other} == {
        k: v for k, v in theirs.items() if k not in other
    }
    assert ours.keys() == theirs.keys()
    assert json.loads(zlib.decompress(ours[b"data"])) == json.loads(zlib.decompress(theirs[b"data"]))
    for name in TIMES:
        assert len(ours[name]) == len(theirs[name])
    assert client.ttl(f"rq:job:{an_id('a')}-a1") == -1


def test_rq_reads_it_as_its_own(rq_scene: LedgerScene, client: Redis) -> None:
    rq_scene.put(an_entry("a"))
    rq_scene.admit("a")
    assert [queue.name for queue in Queue.all(connection=client)] == [QUEUE]
    queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
    assert queue.get_job_ids() == [f"{an_id('a')}-a1"]
    job = rq_job(client, "a")
    assert (job.func_name, list(job.args), job.kwargs) == ("workers.runner.run_job", [an_id("a"), 1], {})
    assert job.get_status() == JobStatus.QUEUED
    assert job.enqueued_at is not None
    assert abs((datetime.now(UTC) - job.enqueued_at).total_seconds()) < 60


@pytest.mark.parametrize(
    "moment",
    [
        "1970-01-01T00:00:00.000000Z",
        "2000-02-29T23:59:59.999000Z",
        "2026-12-31T00:00:00.001000Z",
        "2100-03-01T12:00:00.500000Z",
    ],
)
def test_moments_are_written_as_rq_writes_them(client: Redis, moment: str) -> None:
    from conductor.adapters.redis.step_text import FOLDER

    shared = "".join((FOLDER / name).read_text() for name in ("base.lua", "rq.lua"))
    ms = round(datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() * 1000)
    assert client.eval(shared + "\nreturn iso(tonumber(ARGV[1]))", 0, ms).decode() == moment


def ids(registry: object) -> list[str]:
    return registry.get_job_ids(cleanup=False)  # type: ignore[attr-defined]


def test_rq_dashboard_sees_it_run_and_end(rq_scene: LedgerScene, client: Redis) -> None:
    rq_scene.put(*(an_entry(name) for name in "abc"))
    for name in "abc":
        rq_scene.run(name)
    started = StartedJobRegistry(QUEUE, connection=client)
    assert sorted(ids(started)) == [f"{an_id(name)}-a1" for name in "abc"]
    assert rq_job(client, "a").get_status() == JobStatus.STARTED
    assert rq_job(client, "a").worker_name == "w1"
    started.cleanup()
    assert len(ids(started)) == 3, "RQ's own clean-up finds nothing to mend"
    rq_scene.accept("a")
    rq_scene.fail("b", then=Dead())
    rq_scene.cancel("c")
    rq_scene.fail("c", cause="cancelled", then=Dead())
    assert ids(started) == []
    assert ids(FinishedJobRegistry(QUEUE, connection=client)) == [f"{an_id('a')}-a1"]
    assert ids(FailedJobRegistry(QUEUE, connection=client)) == [f"{an_id('b')}-a1"]
    assert ids(CanceledJobRegistry(QUEUE, connection=client)) == [f"{an_id('c')}-a1"]
    assert rq_job(client, "a").get_status() == JobStatus.FINISHED
    assert 0 < client.ttl(f"rq:job:{an_id('a')}-a1") <= 600


def test_what_ended_does_not_pile_up_in_redis(rq_scene: LedgerScene, client: Redis) -> None:
    names = [f"n{i:03d}" for i in range(130)]
    rq_scene.ledger.intake.put("night", [an_entry(name) for name in names])
    wanted = [Admission(reservation=a_reservation(name), backlog="night") for name in names]
    assert rq_scene.ledger.handover.admit(rq_scene.epoch, wanted) == (None,) * 130
    for name in names:
        rq_scene.ledger.attempts.start(an_id(name), 1, "w1", 30)
        rq_scene.ledger.attempts.accept(a_receipt(name))
    assert client.zcard(f"rq:finished:{QUEUE}") == 100
    assert len(client.keys("rq:job:*")) == 100
    assert rq_scene.ledger.tallies.counts()["done"] == 130


def test_an_entry_that_was_rescued_or_cancelled_before_it_ran_leaves_nothing(
    rq_scene: LedgerScene, client: Redis
) -> None:
    rq_scene.put(an_entry("a"), an_entry("b"))
    rq_scene.admit("a")
    rq_scene.admit("b")
    rq_scene.rescue("a")
    rq_scene.cancel("b")
    assert client.keys("rq:job:*") == []
    assert client.llen(f"rq:queue:{QUEUE}") == 0
