"""rq-dashboard behind our guard, on a real Valkey, with jobs as the hand-over writes them."""

from __future__ import annotations

import http.client
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.redis import valkey
from conductor.base.redis_keys import PLAIN
from conductor.base.settings.settings import Settings
from conductor.views.dashboard import url_file

SERVE = """
import sys
from pathlib import Path
from conductor.adapters.redis import valkey
from conductor.views.dashboard import serve_dashboard
from conductor.base.settings.settings import Settings
settings = Settings(state_dir=Path(sys.argv[1]))
url = valkey.place_of(settings.valkey).url
sys.exit(serve_dashboard(settings.dashboard, settings.redis, settings.state_dir, url, int(sys.argv[2])))
"""
JOB, QUEUE = "abcdefgh12345678-a1", "cpu-here"


class Served:
    """A dashboard process on a Valkey of its own, which holds one queued job and one whose hash is gone."""

    def __init__(self, settings: Settings, url: str, port: int = 0) -> None:
        from redis import Redis

        self.redis = Redis.from_url(url, protocol=2)
        self.settings = settings
        command = [sys.executable, "-c", SERVE, str(settings.state_dir), str(port)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not url_file(settings.state_dir).exists() or not url_file(
            settings.state_dir
        ).read_text().endswith("\n"):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.port = int(url_file(settings.state_dir).read_text().rsplit(":", 1)[1].strip("/\n"))

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        line.request(method, path, headers={"Host": host or f"127.0.0.1:{self.port}"})
        answer = line.getresponse()
        text = answer.read().decode()
        line.close()
        return answer.status, text

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()
        self.redis.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("dash"))
    with valkey.session(settings.valkey) as url:
        it = Served(settings, url)
        put_job(it)
        yield it
        it.close()


def put_job(served: Served) -> None:
    from rq import Queue
    from rq.job import Job
    from rq.serializers import JSONSerializer

    queue = Queue(QUEUE, connection=served.redis, serializer=JSONSerializer)
    job = Job.create(
        "workers.runner.run_job",
        args=[JOB[:-3], 1],
        id=JOB,
        origin=QUEUE,
        description="media.cut <b>bold</b>",
        connection=served.redis,
        serializer=JSONSerializer,
    )
    queue.enqueue_job(job)
    served.redis.rpush(f"rq:queue:{QUEUE}", "gone1234-a1")
    served.redis.sadd("rq:workers", "rq:worker:gone")


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/0/view/workers", "/0/view/jobs", f"/0/view/jobs/{QUEUE}/queued/8/asc/1"),
        *(f"/0/view/job/{JOB}", "/0/data/queues.json", "/0/data/workers.json", f"/0/data/job/{JOB}.json"),
        *(
            f"/0/data/jobs/{QUEUE}/queued/8/asc/1.json",
            f"/0/data/jobs/{QUEUE}/failed/8/dsc/1.json",
            "/favicon.ico",
        ),
    ],
)
def test_every_page_that_only_reads_works(served: Served, path: str):
    if path == "/favicon.ico":
        assert served.ask(path, "HEAD")[0] == 200
    else:
        assert served.ask(path)[0] == 200


def test_pages_show_the_job_and_leave_the_queue_as_it_was(served: Served):
    before = served.redis.lrange(f"rq:queue:{QUEUE}", 0, -1)
    status, text = served.ask(f"/0/data/jobs/{QUEUE}/queued/8/asc/1.json")
    assert status == 200 and JOB in text
    assert served.redis.lrange(f"rq:queue:{QUEUE}", 0, -1) == before
    assert served.redis.sismember("rq:workers", "rq:worker:gone")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/requeue/{QUEUE}", 403),
        ("POST", f"/requeue/{QUEUE}", 405),
        ("POST", f"/job/{JOB}/delete", 405),
        ("POST", f"/job/{JOB}/requeue", 405),
        ("POST", f"/queue/{QUEUE}/queued/empty", 405),
        ("POST", f"/queue/{QUEUE}/compact", 405),
        ("DELETE", "/", 405),
        ("GET", f"/0/view/jobs/{QUEUE}/rate_limited/8/asc/1", 404),
        ("GET", f"/0/data/jobs/{QUEUE}/rate_limited/8/asc/1.json", 404),
        ("GET", "/7/view/queues", 404),
        ("GET", "/nothing", 404),
        ("GET", "/0/view/job/nobody12-a1", 404),
    ],
)
def test_what_writes_is_refused_and_what_is_not_there_is_plain(
    served: Served, method: str, path: str, status: int
):
    before = served.redis.dbsize()
    got, text = served.ask(path, method)
    assert got == status
    assert "Traceback" not in text
    assert served.redis.dbsize() == before and served.redis.exists(f"rq:job:{JOB}")


def test_a_foreign_host_name_is_refused(served: Served):
    assert served.ask("/", host="evil.example:80")[0] == 403
    assert served.ask("/", host=f"localhost:{served.port}")[0] == 200


def test_the_connection_of_the_pages_can_write_nothing(served: Served):
    from redis import Redis
    from redis.exceptions import NoPermissionError

    from conductor.views.dashboard import connect

    with connect(valkey.place_of(served.settings.valkey).url, PLAIN, is_own=True) as client:
        assert isinstance(client, Redis)
        assert client.llen(f"rq:queue:{QUEUE}") == 2
        for command in (
            ("DEL", "rq:queues"),
            ("FLUSHALL",),
            ("GET", "conductor:leader"),
            ("CONFIG", "GET", "*"),
        ):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)


class PickleBomb:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_a_pickled_job_is_not_unpickled(served: Served, tmp_path: Path):
    bomb = pickle.dumps(("os.getpid", None, [PickleBomb(tmp_path / "boom")], {}))
    fields = {
        "data": bomb,
        "meta": bomb,
        "origin": QUEUE,
        "created_at": "2026-01-01T00:00:00Z",
        "status": "queued",
    }
    served.redis.hset("rq:job:pickled1-a1", mapping={**fields, "result": bomb})
    served.redis.rpush(f"rq:queue:{QUEUE}", "pickled1-a1")
    for path in (
        "/0/view/job/pickled1-a1",
        "/0/data/job/pickled1-a1.json",
        f"/0/data/jobs/{QUEUE}/queued/8/asc/1.json",
    ):
        assert "Traceback" not in served.ask(path)[1]
    served.redis.lrem(f"rq:queue:{QUEUE}", 0, "pickled1-a1")
    served.redis.delete("rq:job:pickled1-a1")
    assert not (tmp_path / "boom").exists()


def test_it_listens_on_loopback_only_takes_the_next_free_port_and_says_which(tmp_path: Path):
    settings = Settings(state_dir=tmp_path)
    with socket.socket() as taken, valkey.session(settings.valkey) as url:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wished = taken.getsockname()[1]
        it = Served(settings, url, wished)
        try:
            import psutil

            assert it.port > wished
            listening = [
                c for c in psutil.Process(it.process.pid).net_connections("tcp") if c.status == "LISTEN"
            ]
            assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
            it.process.send_signal(signal.SIGTERM)
            out, err = it.process.communicate(timeout=10)
            assert it.process.returncode == 0
            assert f"http://127.0.0.1:{it.port}/".encode() in err
            assert b"development server" not in err + out and b"GET" not in err + out
            assert not url_file(settings.state_dir).exists()
        finally:
            it.close()


def test_pages_work_again_after_valkey_was_killed_and_started_anew(tmp_path: Path):
    settings = Settings(state_dir=tmp_path)
    with valkey.session(settings.valkey) as url:
        it = Served(settings, url)
        try:
            assert it.ask("/0/data/queues.json")[0] == 200
            os.kill(int(valkey.place_of(settings.valkey).pid_file.read_text()), signal.SIGKILL)
            assert it.ask("/0/data/queues.json")[0] == 503
            valkey.ensure_running(settings.valkey)
            assert it.ask("/0/data/queues.json")[0] == 200
        finally:
            it.close()
