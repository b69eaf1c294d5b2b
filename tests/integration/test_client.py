"""The typed client against a running project: over TCP with the token, over the owner's socket, and with
who is no Conductor.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from builders import a_spec
from cli_tools import program
from loopback_hook import hook
from node_scene import NodeScene, until
from web_scene import TOKEN, TOKEN_ENV, WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.errors import ConductorError, Unreachable, UsageError
from conductor.base.logs.running_output import RunningNote, RunningOutput
from conductor.client import Client
from conductor.model.failure_outcome import Dead
from conductor.model.receipt import Receipt
from conductor.model.told_event import ToldEvent

ROOT = Path(__file__).resolve().parents[2]
numbers = count(1)
Both = tuple[WebScene, NodeScene]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Both]:
    with connect(valkey_url) as client:
        client.flushall()
        with web_running(configured(tmp_path_factory.mktemp("client"), valkey_url)) as web:
            yield web, NodeScene(redis_ledger(client), web.settings)


@pytest.fixture
def web(both: Both) -> WebScene:
    return both[0]


@pytest.fixture
def scene(both: Both) -> NodeScene:
    return both[1]


@pytest.fixture(params=["tcp", "socket"])
def client(request: pytest.FixtureRequest, web: WebScene) -> Iterator[Client]:
    with opened(web, request.param) as found:
        yield found


def opened(web: WebScene, how: str = "tcp") -> Client:
    return Client(web.url, TOKEN, actor="eve") if how == "tcp" else Client.here(web.settings.project)


class Beside(threading.Thread):
    """What a client hears or waits for, by a thread of its own."""

    def __init__(self, what: object) -> None:
        super().__init__(daemon=True)
        self.what, self.said = what, list[object]()
        self.start()

    def run(self) -> None:
        # The client is closed with its test.
        with suppress(ConductorError, RuntimeError):
            for each in self.what:  # pyright: ignore[reportGeneralTypeIssues]
                self.said.append(each)


def test_work_goes_in_is_waited_for_while_it_runs_and_is_cancelled(
    client: Client, web: WebScene, scene: NodeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = next(numbers)
    put = client.submit(a_spec(n, task="diagnostics.sleep", args={"seconds": 1.0, "n": n}), backlog="night")
    (job,) = put.job_ids
    # Lists are fed a moment behind.
    (row,) = until(lambda: client.jobs(f"id:{job}").rows)
    assert (put.said["new"], row.state) == (1, "waiting")
    sums = client.sums(f"id:{job}", by="state")
    assert (sums.jobs, [(group.name, group.jobs) for group in sums.groups]) == (1, [("waiting", 1)])
    scene.admit(job)
    scene.ledger.attempts.start(job, 1, "w1", 60.0)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=f"{job} is running after 0.2 s"):
        client.wait(job, 0.2)
    assert time.monotonic() - began < 3.0

    def ends() -> Iterator[str]:
        with opened(web) as other:
            yield other.wait(job, 30.0).job.state

    # A look a minute: what ends it is heard of.
    monkeypatch.setattr("conductor.client.LOOK_S", 60.0)
    waiting = Beside(ends())
    assert client.cancel(job).was == "running"
    ended = Receipt(
        v=1, job_id=job, attempt=1, workflow="w", task="diagnostics.sleep", outcome="failed",
        cause="cancelled", started_at=1.0, ended_at=2.0, node="here", worker="w1",
    )  # fmt: skip
    scene.ledger.attempts.fail(ended, Dead())
    until(lambda: waiting.said)
    assert waiting.said[0] in ("cancelled", "dead")


def test_events_are_heard_as_they_happen_and_those_that_were_missed(client: Client, scene: NodeScene) -> None:
    job = scene.put(next(numbers), 1.0)
    stream = scene.ledger.events
    stream.append([ToldEvent(name="job.started", at=1.0, fields={"job_id": "other"})])
    until(lambda: client.health().state)
    hearing = Beside(client.events(job))
    told = ToldEvent(name="job.started", at=time.time(), fields={"job_id": job})

    def heard() -> bool:
        stream.append([told])
        return bool(hearing.said)

    until(heard, every_s=0.1)
    first = hearing.said[0]
    assert isinstance(first, ToldEvent) and (first.name, first.job_ids) == ("job.started", (job,))


def test_a_log_is_followed_to_the_end_of_the_job(web: WebScene, scene: NodeScene) -> None:
    job, logs = scene.put(next(numbers), 1.0), web.settings.logs_dir
    printed = logs / "w9.out"
    printed.write_bytes(b"one\n")
    body = RunningOutput(job_id=job, attempt=1, file=str(printed), start=0, pid=os.getpid())
    RunningNote(logs, "w9").tell(body)
    with opened(web) as one, opened(web) as two:
        hearing = Beside(one.follow_log(job))
        until(lambda: hearing.said == [(1, "one")])
        two.cancel(job)
        hearing.join(20)
        assert not hearing.is_alive()


def test_every_fault_is_one_sentence(web: WebScene, scene: NodeScene, tmp_path: Path) -> None:
    job = scene.put(next(numbers), 1.0)
    with Client(web.url) as stranger, pytest.raises(UsageError, match="needs the token"):
        stranger.cancel(job)
    with Client(web.url, "nonsense") as wrong, pytest.raises(UsageError, match="not the token"):
        wrong.job(job)
    with opened(web) as friend:
        for bad in ("nobody", "../../livez", f"{job}/cancel?x="):
            with pytest.raises(UsageError, match=r"no job's id|no such address|not take that method"):
                friend.job(bad)
        with pytest.raises(UsageError, match="did you mean state:"):
            friend.jobs("sate:dead")
    assert scene.job(job).state == "waiting"
    with Client("http://127.0.0.1:9/") as nobody:
        assert "no `conductor web` answers" in sentence(nobody.health)
        assert "was lost" in sentence(lambda: next(nobody.events()))


def sentence(ask: object) -> str:
    with pytest.raises(ConductorError) as refused:
        ask()  # pyright: ignore[reportCallIssue]
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)
    return str(refused.value)


def test_what_is_no_conductor_or_says_nothing_is_told_apart() -> None:
    with hook() as server, Client(f"http://{server.place}") as other:
        assert "is no `conductor web`" in sentence(other.status)
    with silent() as port, Client(f"http://127.0.0.1:{port}", timeout_s=0.3) as mute:
        assert "no `conductor web` answers" in sentence(mute.health)


@contextmanager
def silent() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def test_the_example_of_its_page_runs(web: WebScene, scene: NodeScene) -> None:
    page = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    stop = threading.Event()

    def done() -> None:
        while not stop.wait(0.05):
            for job_id in scene.ledger.jobs.ids("waiting"):
                scene.ledger.commands.cancel(job_id)

    ending = threading.Thread(target=done, daemon=True)
    ending.start()
    try:
        ended = program(sys.executable, "-c", example, cwd=web.settings.project, env={TOKEN_ENV: TOKEN})
    finally:
        stop.set()
        ending.join()
    assert ended.code == 0, ended.err
    assert ended.out.startswith("3 are new") and ended.out.count(" cancelled") == 3
