"""Another application of RQ in the same database: it is left alone, and nothing of it is a fault of ours."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import conductor
from node_scene import until
from redis import Redis
from rq import Queue, Worker
from rq.job import Job

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.model.ledger_entries import HeldReport
from conductor.views.dashboard import make_app
from tests.ledger_scenes import an_entry, an_id, redis_scene

MANIFEST = "manifests/system_test_debug_2.jsonl"
#: Stock RQ, with pickle, on a queue of its own: alive as long as the test.
WORKER = """
import sys
from redis import Redis
from rq import Queue, SimpleWorker
SimpleWorker([Queue(name, connection=Redis.from_url(sys.argv[1])) for name in sys.argv[2:]]).work()
"""


@pytest.fixture
def theirs(redis_url: str) -> Iterator[Redis]:
    """Jobs that wait, that failed and that will never run, and a worker that is there and says nothing to
    us.
    """
    with Redis.from_url(redis_url) as client:
        emails = Queue("emails", connection=client)
        failed = emails.enqueue("no.such.module", failure_ttl=-1)
        argv = [sys.executable, "-c", WORKER, redis_url, "emails"]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: failed.get_status(refresh=True) == "failed" and Worker.all(connection=client))
        Queue("invoices", connection=client).enqueue(print, "an invoice")
        Job.create(print, connection=client, id="alone").save()
        yield client
        process.kill()
        process.wait()


def dumps(client: Redis) -> dict[bytes, object]:
    """All of theirs, but for the heartbeat of a worker that lives."""
    keys = [key for key in client.scan_iter("rq:*") if not key.startswith(b"rq:worker:")]
    return {
        key: sorted(client.smembers(key)) if client.type(key) == b"set" else client.dump(key) for key in keys
    }


@pytest.mark.slow
def test_a_night_beside_it_touches_nothing_of_it_and_complains_of_nothing(
    project: Settings, theirs: Redis
) -> None:
    folder: Path = project.project
    with (folder / CONFIG_NAME).open("a") as config:
        config.write("[lanes]\ncpu.workers = 1\nio.workers = 0\ncloud.workers = 0\n")
    before = dumps(theirs)
    assert conductor("plan", "system_test", "--count", "2", cwd=folder).code == 0
    for words in (("dispatch", MANIFEST), ("conduct", "--until-done"), ("verify", MANIFEST), ("rebuild",)):
        shown = conductor(*words, cwd=folder)
        assert shown.code == 0, (words, shown)
    audit = conductor("audit", cwd=folder)
    assert audit.code == 0 and "BAD" not in audit.out
    for words in (("audit",), ("doctor",), ("status",), ("status", "--json")):
        shown = conductor(*words, cwd=folder)
        for name in ("emails", "invoices"):
            assert name not in shown.out + shown.err, words

    after = dumps(theirs)
    for key, value in before.items():
        if key in (b"rq:queues", b"rq:workers"):
            assert set(value) <= set(after[key]), key  # pyright: ignore[reportArgumentType]
        else:
            assert after[key] == value, key
    left = {key.decode() for key in after.keys() - before.keys()}
    assert not [key for key in left if "emails" in key or "invoices" in key]


def test_a_ledger_that_is_settled_does_not_wait_for_its_worker(redis_url: str, theirs: Redis) -> None:
    with connect(redis_url) as client:
        scene = redis_scene(client, redis_ledger(client))
        scene.put(an_entry("a"))
        scene.run("a")
        client.sadd(scene.keys.workers, "w1")
        client.set(scene.keys.rq_worker("w1"), "1")
        # When the server is another one, and our only worker has spoken
        client.set(f"{scene.keys.ledger}settled_history", "another.one")
        epoch = scene.ledger.leadership.lead("conductor-1", 60)
        assert epoch is not None and client.keys("conductor:successor_feed:*") == [
            b"conductor:successor_feed:w1"
        ]
        scene.ledger.attempts.renew("w1", 30, [HeldReport(job_id=an_id("a"), attempt=1)])
        settled = scene.ledger.leadership.settle(epoch, 3600, 1)

        # Then nobody else is waited for, and no numbers are given up
        assert settled is not None and (settled.went_back, settled.floor) == (0, 0)


def test_what_lies_in_its_queues_is_no_queue_of_ours(redis_url: str, theirs: Redis) -> None:
    with connect(redis_url) as client:
        scene = redis_scene(client, redis_ledger(client))
        assert scene.ledger.handover.queued() == {}
        scene.put(an_entry("a"))
        scene.admit("a")
        assert scene.ledger.handover.queued() == {"cpu-node1": 1}


def test_the_dashboard_shows_what_it_can_and_unpickles_nothing(redis_url: str, theirs: Redis) -> None:
    before = dumps(theirs)
    theirs.hset("rq:job:alone", "data", pickle.dumps(print))
    with connect(redis_url) as client:
        pages = make_app(client).test_client()
        for path in (
            "/",
            "/0/data/queues.json",
            "/0/data/workers.json",
            "/0/data/jobs/emails/failed/8/asc/1.json",
        ):
            assert pages.get(path, headers={"Host": "localhost"}).status_code == 200, path
        assert pages.get("/0/data/job/alone.json", headers={"Host": "localhost"}).status_code in (200, 500)
    assert dumps(theirs).keys() == before.keys()
