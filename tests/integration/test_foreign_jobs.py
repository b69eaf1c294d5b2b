"""Jobs that somebody else wrote into RQ's keys: a stock worker obeys each of them, ours none."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from conductor.adapters.open_ledger import connect
from conductor.base.settings.settings import Settings
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import QUEUE, REPOSITORY, WorkerScene, a_scene, wait_until

OURS = "workers.runner.run_job"
STOCK = """
import sys
from redis import Redis
from rq import SimpleWorker
from rq.serializers import DefaultSerializer, JSONSerializer
serializer = DefaultSerializer if sys.argv[3] == "pickle" else JSONSerializer
SimpleWorker([sys.argv[2]], connection=Redis.from_url(sys.argv[1]), serializer=serializer).work(burst=True)
"""
#: Imported by nobody but an attacker: tells that it was.
MODULE = "import os, pathlib; pathlib.Path({mark!r}).write_text('imported')\ndef call(*args): return None\n"


class JobBomb:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


class Attack:
    """One foreign job in our queue; `mark` exists once anything of it was obeyed."""

    def __init__(self, client: Redis, mark: Path) -> None:
        self.client = client
        self.mark = mark

    def push(self, rq_id: str, call: tuple[object, ...], **fields: str | bytes) -> str:
        data = zlib.compress(JSONSerializer.dumps(call))
        return self.push_raw(rq_id, data, **fields)

    def push_raw(self, rq_id: str, data: bytes, **fields: str | bytes) -> str:
        job = Job.create(func=OURS, id=rq_id, connection=self.client, serializer=JSONSerializer)
        Queue(QUEUE, connection=self.client, serializer=JSONSerializer).enqueue_job(job)
        self.client.hset(f"rq:job:{rq_id}", mapping={"data": data, **fields})  # pyright: ignore[reportArgumentType]
        return rq_id


Make = Callable[[Attack, str], object]
ATTACKS: dict[str, Make] = {
    "a callable of the system": lambda a, i: a.push(i, ("os.mkdir", None, [str(a.mark)], {})),
    "a builtin": lambda a, i: a.push(i, ("exec", None, [f"import os; os.mkdir({str(a.mark)!r})"], {})),
    "a module that acts when imported": lambda a, i: a.push(i, ("evil_module.call", None, [], {})),
    "pickled data": lambda a, i: a.push_raw(
        i, zlib.compress(pickle.dumps((OURS, None, [JobBomb(a.mark)], {})))
    ),
    "pickled meta": lambda a, i: a.push(
        i, (OURS, None, ["x" * 24, 1], {}), meta=pickle.dumps(JobBomb(a.mark))
    ),
    "a success callback": lambda a, i: a.push(
        i,
        ("time.time", None, [], {}),
        success_callback_name="evil_module.call",
        success_callback_timeout="60",
    ),
    "a stopped callback": lambda a, i: a.push(
        i, (OURS, None, ["x" * 24, 1], {}), stopped_callback_name="evil_module.call"
    ),
    "a failure callback": lambda a, i: a.push(
        i,
        (OURS, None, ["x" * 24], {}),
        failure_callback_name="evil_module.call",
        failure_callback_timeout="60",
    ),
    "a dependency": lambda a, i: a.push(
        i, ("os.mkdir", None, [str(a.mark)], {}), dependency_ids='["other"]', dependency_id="other"
    ),
    "our callable with a method of an instance": lambda a, i: a.push(i, (OURS, "evil_module", [], {})),
    "a field that no clock can read": lambda a, i: a.push(
        i, ("os.mkdir", None, [], {}), created_at="tomorrow"
    ),
    "not even data": lambda a, i: a.push_raw(i, b"\x00\xff"),
}
#: What a stock worker really obeys: the controls.
OBEYED = {
    "a callable of the system": "json",
    "a builtin": "json",
    "a module that acts when imported": "json",
    "a success callback": "json",
    "a failure callback": "json",
    "a dependency": "json",
    "pickled data": "pickle",
    "pickled meta": "pickle",
}


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


@pytest.fixture
def attack(scene: WorkerScene, client: Redis, tmp_path: Path) -> Attack:
    mark = tmp_path / "obeyed"
    (scene.folder / "evil_module.py").write_text(MODULE.format(mark=str(mark)))
    return Attack(client, mark)


@pytest.mark.parametrize(("name", "serializer"), OBEYED.items())
def test_a_stock_worker_obeys(attack: Attack, scene: WorkerScene, redis_url: str, name: str, serializer: str):
    """The control: each of these really is an attack."""
    ATTACKS[name](attack, "foreign1")
    environment = {**os.environ, "PYTHONPATH": f"{scene.folder}{os.pathsep}{REPOSITORY}"}
    argv = [sys.executable, "-W", "ignore", "-c", STOCK, redis_url, QUEUE, serializer]
    subprocess.run(argv, cwd=scene.folder, env=environment, capture_output=True, timeout=60, check=False)
    assert attack.mark.exists()


@pytest.mark.parametrize(
    "prefix", ["foreign", "aaaabbbbccccddddeeeeffff-a"], ids=["its own name", "a name like ours"]
)
def test_our_worker_obeys_none_and_goes_on_working(
    attack: Attack, scene: WorkerScene, client: Redis, prefix: str
):
    for number, make in enumerate(ATTACKS.values(), start=1):
        make(attack, f"{prefix}{number}")
    honest = scene.put(a_spec(task="mine.write"))

    worker = scene.worker()

    scene.wait_state(honest, "done", "dead")
    assert scene.state(honest) == "done" and worker.poll() is None
    assert not attack.mark.exists()
    assert len(scene.receipts()) == 1, "no attempt was made of any of them"
    wait_until(lambda: client.llen(f"rq:queue:{QUEUE}") == 0, "nothing is left in the queue")
    assert client.keys("conductor:prefetched:*") == []
    if prefix == "foreign":
        assert client.zcard(f"rq:failed:{QUEUE}") == len(ATTACKS), "put away where the dashboard shows them"
        assert "os.mkdir" in scene.story() and "Refused" in scene.story()


@pytest.mark.parametrize(
    "name", ["a success callback", "a failure callback", "a stopped callback", "a dependency"]
)
def test_our_job_class_drops_callbacks_unread(attack: Attack, client: Redis, name: str):
    from workers.parent.rq_presence import OurJob

    ATTACKS[name](attack, "foreign1")
    job = OurJob.fetch("foreign1", connection=client, serializer=JSONSerializer)
    named = (job._success_callback_name, job._failure_callback_name, job._stopped_callback_name)  # pyright: ignore[reportPrivateUsage]
    assert named == (None, None, None)
    assert not attack.mark.exists()


def test_a_webhook_in_the_hash_calls_nobody(attack: Attack, scene: WorkerScene, client: Redis):
    hits: list[str] = []

    class JobListener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), JobListener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/hook"
        spec = a_spec(task="mine.write")
        scene.put(spec)
        fields = {
            f"{when}_webhook{end}": address
            for when in ("success", "failure", "on")
            for end in ("", "_url", "s")
        }
        client.hset(f"rq:job:{spec.id}-a1", mapping={**fields, "webhooks": f'["{address}"]'})
        client.hset(f"rq:job:{spec.id}-a1", "success_callback_name", "evil_module.call")
        scene.worker()
        scene.wait_state(spec, "done")
        server.shutdown()
    assert hits == [] and not attack.mark.exists()


@pytest.mark.parametrize("task", ["os.system", "builtins.exec", "evil_module.call", "workers.runner.run_job"])
def test_a_line_reaches_only_declared_tasks(scene: WorkerScene, attack: Attack, client: Redis, task: str):
    """Even when the ledger itself is written to: the task's name is looked up, never imported."""
    spec = scene.put(a_spec(task="mine.write"))
    from conductor.model.spec import to_line

    line = to_line(spec).replace(b"mine.write", task.encode())
    client.hset("conductor:jobs", spec.id, line)
    scene.worker()
    (receipt,) = scene.wait_state(spec, "dead", "done")
    assert receipt.cause == "refused" and "no task is named" in receipt.message
    assert not attack.mark.exists()


def test_a_manifest_line_names_no_module(scene: WorkerScene, tmp_path: Path):
    from conductor.base.errors import ManifestError
    from conductor.record.manifest import check

    for number, extra in enumerate(
        ('"task_modules":["evil_module"]', '"module":"evil_module"', '"function":"call"')
    ):
        file = tmp_path / f"m{number}.jsonl"
        from conductor.model.spec import to_line

        file.write_bytes(to_line(a_spec(task="mine.write"))[:-1] + b"," + extra.encode() + b"}\n")
        with pytest.raises(ManifestError) as caught:
            check(file, scene.catalogue)
        assert "is not a field" in caught.value.problems[0]
