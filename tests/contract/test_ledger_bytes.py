"""What a waiting job costs Redis, and that its line comes back as it was put: sizes, no times."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ledger_scenes import a_class, an_entry, redis_scene
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis.codec.lines import lines_of
from conductor.adapters.redis.scans.pending import read_pending
from conductor.adapters.redis.scripts import Scripts
from conductor.model.identity import content_id
from conductor.model.ledger_entries import Entry
from conductor.model.spec import JobSpec, to_line

JOBS, CLASSES, MOST_BYTES = 30_000, 100, 250
DAY_MS = 86_400_000


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        yield client


def waiting(n: int) -> Entry:
    args = {"n": n, "text": "x" * (n % 17)}
    spec = JobSpec(
        v=1,
        id=content_id("system_test", "media.cut", args, {}),
        workflow="system_test",
        task="media.cut",
        lane="cpu",
        args=args,
    )
    return Entry(job_id=spec.id, line=to_line(spec), job_class=a_class(f"c{n % CLASSES}"))


def bytes_of(client: Redis) -> int:
    return sum(
        client.memory_usage(key, samples=0) or 0 for key in client.scan_iter("conductor:*", count=1000)
    )


def test_a_waiting_job_takes_at_most_250_bytes_beyond_its_line(client: Redis):
    """Where it costs most: the server's tables have just doubled (7 times a power of two), and the ledger
    is old.
    """
    client.set("conductor:created_ms", int(time.time() * 1000) - 200 * DAY_MS)
    client.set("conductor:seq", 20_000_000)
    ledger, entries = redis_ledger(client), [waiting(n) for n in range(JOBS)]
    for at in range(0, JOBS, 500):
        ledger.intake.put("night", entries[at : at + 500])
    assert {len(entry.job_id) for entry in entries} == {24}
    beyond = (bytes_of(client) - sum(len(entry.line) for entry in entries)) / JOBS
    assert 100 < beyond <= MOST_BYTES


LINES = {
    "as plans write it": '{"v":1,"id":"%s","workflow":"w","args":{"text":"naïve"}}',
    "nothing but an id": '{"v":1,"id":"%s"}',
    "other order": '{"id":"%s","v":1,"workflow":"w"}',
    "a blank before it": ' {"v":1,"id":"%s","workflow":"w"}',
    "written by hand": '{ "v": 1, "id": "%s", "workflow": "w"}',
    "a blank behind the id": '{"v":1,"id":"%s", "workflow":"w"}',
    "another id": '{"v":1,"id":"%s-b","workflow":"w"}',
}


@pytest.mark.parametrize("text", LINES.values(), ids=LINES.keys())
def test_a_line_comes_back_byte_for_byte_to_whoever_reads_it(client: Redis, text: str):
    scene = redis_scene(client, redis_ledger(client))
    plain = an_entry("a")
    line = (text % plain.job_id).encode()
    scene.put(Entry(job_id=plain.job_id, line=line, job_class=plain.job_class))
    view = scene.ledger.jobs.job(plain.job_id)
    assert view is not None and view.line == line
    assert lines_of(Scripts(client), [plain.job_id, "nobody-there"]) == [line, None]
    assert [pending.line for pending in read_pending(Scripts(client)) or ()] == [line]
    assert scene.admit("a") is None
    assert scene.ledger.attempts.start(plain.job_id, 1, "w1", 60.0).line == line


def test_a_line_kept_whole_by_an_earlier_version_is_read(client: Redis):
    scene = redis_scene(client, redis_ledger(client))
    entry = an_entry("a")
    scene.put(entry)
    assert client.hstrlen("conductor:jobs", entry.job_id) < len(entry.line) - len(entry.job_id)
    client.hset("conductor:jobs", entry.job_id, entry.line)
    view = scene.ledger.jobs.job(entry.job_id)
    assert view is not None and view.line == entry.line
    assert lines_of(Scripts(client), [entry.job_id]) == [entry.line]
