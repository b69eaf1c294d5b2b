"""Jobs through a real worker process: what becomes of the good, the bad and the dead."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conductor.adapters.redis.step_text import named, source
from conductor.base.redis_keys import Keys
from conductor.base.settings.settings import Settings
from conductor.model.spec import Output
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import WorkerScene, a_scene, wait_file, wait_until


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def test_a_job_ends_in_its_output_one_receipt_and_nothing_else(scene: WorkerScene):
    writes = (Output(path="scratch:deep/down/a 'b'\n%03d.txt", bytes=5), Output(path="published:b.txt"))
    spec = scene.put(a_spec(1, task="mine.write", writes=writes))

    scene.worker()

    (receipt,) = scene.wait_state(spec, "done")
    assert receipt.outcome == "ok"
    assert [fact.path for fact in receipt.outputs] == [output.path for output in writes]
    assert {fact.sha256 for fact in receipt.outputs} == {hashlib.sha256(b"hello").hexdigest()}
    assert (scene.folder / "published/b.txt").read_bytes() == b"hello"
    assert receipt.usage.scratch_bytes >= 100_000 and receipt.usage.rss_mib > 1
    assert "+" in receipt.code_version and receipt.node == "node1"
    wait_until(lambda: not scene.staged(), "the staging folder is gone")


@pytest.mark.parametrize(
    ("args", "cause", "words"),
    [
        ({}, "task_error", "exit code 7; last words: my last words"),
        ({"signal": 11}, "task_error", "signal 11 (SIGSEGV); last words: my last words"),
        ({"signal": 9}, "worker_lost", "SIGKILL, from outside"),
        ({"exec": ["true"]}, "task_error", "exit code 0"),
        ({"exec": ["sleep", "60"]}, "task_error", "a body must not replace its process"),
    ],
)
def test_a_body_that_dies_takes_only_the_child(
    scene: WorkerScene, args: dict[str, Any], cause: str, words: str
):
    dies = scene.put(a_spec(task="mine.die", args=args, retry={"task_error": 0, "worker_lost": 0}))
    after = scene.put(a_spec(2, task="mine.write"))

    worker = scene.worker()

    scene.wait_state(after, "done")
    (receipt,) = scene.wait_state(dies, "dead")
    assert receipt.cause == cause
    assert words in receipt.message
    assert worker.poll() is None


@pytest.mark.parametrize(("task", "cause"), [("mine.hang", "timeout"), ("mine.stall", "stalled")])
def test_a_body_that_swallows_everything_is_ended_from_outside(scene: WorkerScene, task: str, cause: str):
    spec = scene.put(a_spec(task=task, retry={"timeout": 0, "stalled": 0}))

    scene.worker()

    (receipt,) = scene.wait_state(spec, "dead")
    assert receipt.cause == cause


def test_an_exception_becomes_a_cause_and_a_sentence(scene: WorkerScene):
    spec = scene.put(a_spec(task="mine.raise", retry={"task_error": 0}))

    scene.worker()

    (receipt,) = scene.wait_state(spec, "dead")
    assert (receipt.cause, receipt.message) == ("task_error", "ValueError: the ring is broken \\udcff")


def test_a_declared_output_that_is_missing_is_named(scene: WorkerScene):
    writes = (Output(path="scratch:never.txt"),)
    spec = scene.put(a_spec(task="mine.silent", writes=writes, retry={"task_error": 0}))

    scene.worker()

    (receipt,) = scene.wait_state(spec, "dead")
    assert receipt.cause == "task_error" and "scratch:never.txt" in receipt.message


def test_what_is_warm_stays_warm_until_the_code_changes(scene: WorkerScene):
    first, second, third = (scene.put(a_spec(n, task="mine.warm")) for n in range(3))
    scene.worker()

    results = [scene.wait_state(spec, "done")[0].result for spec in (first, second, third)]
    (module,) = scene.folder.glob("my_tasks_*.py")
    # Of another size: Python knows a stale .pyc by size and whole seconds.
    module.write_text(module.read_text().replace("VERSION = 1", "VERSION = 2 + 0"))
    (changed,) = scene.wait_state(scene.put(a_spec(task="mine.write")), "done")

    assert {result["made_by"] for result in results} == {first.id}
    assert {result["pid"] for result in results} == {results[0]["pid"]}
    assert changed.result["version"] == 2


def test_code_that_changes_while_the_first_job_runs_is_seen_by_the_second(scene: WorkerScene, tmp_path: Path):
    """What the child has loaded is not what lies there when its parent first hears of the file."""
    args = {"begun": str(tmp_path / "begun"), "until": str(tmp_path / "until")}
    long = scene.put(a_spec(task="mine.wait", args=args))
    scene.worker()
    wait_file(tmp_path / "begun")
    (module,) = scene.folder.glob("my_tasks_*.py")
    module.write_text(module.read_text().replace("VERSION = 1", "VERSION = 2 + 0"))
    (tmp_path / "until").touch()
    scene.wait_state(long, "done")

    (changed,) = scene.wait_state(scene.put(a_spec(2, task="mine.write")), "done")

    assert changed.result["version"] == 2


def test_a_cancelled_job_ends_and_its_child_with_it(scene: WorkerScene, tmp_path: Path):
    args = {"begun": str(tmp_path / "begun"), "until": str(tmp_path / "never")}
    spec = scene.put(a_spec(task="mine.wait", args=args))
    scene.worker(CONDUCTOR_TIMING__LEASE_S="0.6")
    wait_file(tmp_path / "begun")

    assert scene.ledger.commands.cancel(spec.id) == "running"

    (receipt,) = scene.wait_state(spec, "cancelled")
    assert (receipt.outcome, receipt.cause) == ("failed", "cancelled")
    wait_until(lambda: not scene.staged(), "nothing staged is left")


def test_a_task_that_asks_leaves_at_once_and_its_child_stays_warm(scene: WorkerScene):
    before = scene.put(a_spec(task="mine.warm"))
    sleeps = scene.put(a_spec(task="diagnostics.sleep", args={"seconds": 60}))
    scene.worker(CONDUCTOR_TIMING__LEASE_S="0.6")
    wait_until(lambda: scene.state(sleeps) == "running", "it sleeps")

    scene.ledger.commands.cancel(sleeps.id)
    scene.wait_state(sleeps, "cancelled")
    after = scene.put(a_spec(2, task="mine.warm"))

    (first,), (last,) = scene.wait_state(before, "done"), scene.wait_state(after, "done")
    assert last.result == first.result


def test_a_file_that_another_job_made_is_not_taken_for_ours(scene: WorkerScene):
    writes = (Output(path="published:same.txt"),)
    first = scene.put(a_spec(1, task="mine.write", writes=writes, args={"text": "one"}))
    second = scene.put(a_spec(2, task="mine.write", writes=writes, args={"text": "two"}))

    scene.worker()

    scene.wait_state(first, "done")
    (receipt,) = scene.wait_state(second, "dead")
    assert receipt.cause == "publish_failed" and receipt.is_lasting and first.id in receipt.message
    assert (scene.folder / "published/same.txt").read_text() == "one"


def test_a_worker_is_seen_by_rq(scene: WorkerScene, redis_url: str):
    from redis import Redis
    from rq import Worker

    worker = scene.worker()
    with Redis.from_url(redis_url) as client:
        wait_until(lambda: len(Worker.all(connection=client)) == 1, "RQ lists it")
        (seen,) = Worker.all(connection=client)
        worker.send_signal(signal.SIGTERM)

        assert (
            seen.queue_names() == ["cpu-node1"]
            and seen.pid == worker.pid
            and seen.name.startswith("node1-cpu-")
        )
        assert worker.wait(20) == 0
        assert Worker.all(connection=client) == []


@pytest.mark.parametrize(
    "rq_id", ["0f5a3bdc-7d3b-4f6e-8f10-a2c94be6d111", "aaaaaaaaaaaa-a1", "../../etc/passwd"]
)
def test_a_foreign_callable_is_refused_and_never_imported(scene: WorkerScene, redis_url: str, rq_id: str):
    import zlib

    from redis import Redis

    (scene.folder / "evil.py").write_text("open('was_imported', 'w')\ndef run(): pass\n")
    data = zlib.compress(b'["evil.run", null, [], {}]')
    with Redis.from_url(redis_url) as client:
        client.hset(f"rq:job:{rq_id}", mapping={"data": data, "origin": "cpu-node1", "status": "queued"})
        client.rpush("rq:queue:cpu-node1", rq_id)
        good = scene.put(a_spec(task="mine.write"))

        scene.worker()

        scene.wait_state(good, "done")
        assert not (scene.folder / "was_imported").exists()
        assert client.keys("conductor:prefetched:*") == []


def test_stock_rq_with_our_job_class_refuses_a_foreign_callable(redis_url: str):
    from redis import Redis
    from rq import Queue
    from rq.serializers import JSONSerializer

    from workers.parent.rq_presence import OurJob, RefusedJob

    with Redis.from_url(redis_url) as client:
        queue = Queue("q", connection=client, serializer=JSONSerializer)
        foreign = queue.enqueue("os.system", "true")
        ours = queue.enqueue("workers.runner.run_job", "a" * 24, 1)

        with pytest.raises(RefusedJob, match=r"os\.system"):
            _ = OurJob.fetch(foreign.id, connection=client, serializer=JSONSerializer).func
        fetched = OurJob.fetch(ours.id, connection=client, serializer=JSONSerializer)
        assert fetched.func.__name__ == "run_job"


def test_short_jobs_share_their_round_trips(scene: WorkerScene, redis_url: str):
    """BLMOVE wakes the worker, one step starts, another accepts and starts the next, many at a time.

    Everything else (heartbeat, lease, dashboard) is for jobs that last."""
    from redis import Redis

    jobs = 60
    specs = [scene.put(a_spec(n)) for n in range(jobs)]
    commands: list[str] = []
    # A worker that starts on a busy machine says nothing for longer than the client waits by itself.
    with Redis.from_url(redis_url, socket_timeout=60) as client, client.monitor() as monitor:
        scene.worker()
        for said in monitor.listen():
            if said["client_type"] != "lua":
                commands.append(said["command"].split(" ")[0].upper())
            if commands.count("BLMOVE") > 1 and all(scene.state(spec) == "done" for spec in specs):
                break

    life = commands[commands.index("BLMOVE") : -1]
    # A beat of the dashboard (HSET, EXPIRE, SADD, SADD in one round trip), and loading a script, may be among
    # them.
    assert len([word for word in life if word == "EVALSHA"]) <= jobs / 3, life


def test_a_lone_job_costs_two_round_trips(scene: WorkerScene, redis_url: str):
    """BLMOVE with a turn behind it that starts it, a turn that accepts it."""
    from redis import Redis

    worker = scene.worker()
    scene.wait_state(scene.put(a_spec(0)), "done")
    commands: list[str] = []
    # What threads of their own say, for many jobs together and when it is time for them.
    others = [
        hashlib.sha1((named(Keys()) + source(step)).encode()).hexdigest() for step in ("renew", "tell_events")
    ]
    with Redis.from_url(redis_url) as client:
        wait_until(lambda: any(c["cmd"] == "blmove" for c in client.client_list()), "it waits again")
    with Redis.from_url(redis_url, socket_timeout=60) as client, client.monitor() as monitor:
        scene.put(a_spec(1))
        for said in monitor.listen():
            words = said["command"].split(" ")
            is_of_job = str(worker.pid) in said["command"] and words[1] not in others
            if said["client_type"] != "lua" and is_of_job:
                commands.append(words[0].upper())
            if commands[-1:] == ["BLMOVE"]:
                break

    assert worker.poll() is None
    # Behind the BLMOVE that the worker already waited in: its turn. Then what it did, and it waits again.
    assert commands == ["EVALSHA", "EVALSHA", "BLMOVE"]
