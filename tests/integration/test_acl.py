"""The Redis users on a real server that knows nobody else: what each may do is enough, and nothing more."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from conductor.adapters.open_ledger import connect, open_ledger, redis_ledger
from conductor.adapters.redis.valkey_binary import find_binary
from conductor.app.redis_acl import ADMIN, CONDUCTOR, READER, WORKER, acl_text, users
from conductor.base.errors import Unreachable
from conductor.base.redis_keys import PLAIN
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.calls import Call
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Retry
from conductor.model.ledger_entries import HeldReport
from conductor.model.snapshot import Lookahead
from conductor.model.spec import Output
from conductor.model.told_event import ToldEvent
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.ledger_scenes import a_receipt, a_reservation, an_entry, an_id
from tests.worker_scene import WorkerScene, a_scene, wait_until

EVERYBODY = {CONDUCTOR, WORKER, READER, ADMIN}


class Guarded:
    """A server whose default user is off; `url[NAME]` is each user's way in."""

    def __init__(self, folder: Path, text: str = "") -> None:
        found = users()
        self.socket = folder / "v.sock"
        (folder / "users.acl").write_text(text or acl_text(found))
        argv = [str(find_binary()), "--port", "0", "--unixsocket", str(self.socket), "--aclfile", "users.acl"]
        argv += ["--appendonly", "yes"]
        self.process = subprocess.Popen([*argv, "--save", ""], cwd=folder, stdout=subprocess.DEVNULL)
        self.url = {user.name: f"unix://{user.name}:{user.password}@{self.socket}" for user in found}
        self.passwords = [user.password for user in found]
        wait_until(self.socket.exists, "the server listens")

    def client(self, name: str) -> Redis:
        return Redis.from_url(self.url[name], protocol=2)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = Guarded(tmp_path_factory.mktemp("acl"))
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def empty(guarded: Guarded) -> Guarded:
    with guarded.client(ADMIN) as admin:
        admin.flushall()
        admin.acl_log_reset()
    return guarded


def as_user(server: Guarded, name: str, tmp_path: Path, more: str = "") -> Settings:
    folder = tmp_path / name
    folder.mkdir()
    (folder / CONFIG_NAME).write_text(f'{more}[redis]\nurl = "{server.url[name]}"\n')
    return load(folder)


# ── enough ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def both(empty: Guarded) -> Iterator[tuple[Ledger, Ledger]]:
    """The ledger as the conductor has it, and as a worker does."""
    with connect(empty.url[CONDUCTOR]) as one, connect(empty.url[WORKER]) as other:
        yield redis_ledger(one), redis_ledger(other)


def test_every_verb_of_the_conductor_and_of_a_worker_is_allowed(both: tuple[Ledger, Ledger]):
    ours, theirs = both
    epoch = ours.leadership.lead("c1", 60)
    assert epoch is not None and ours.leadership.leader() == ("c1", epoch)
    ours.intake.put("night", [an_entry(n) for n in "abcd"] + [an_entry("e", after=(an_id("a"),))])
    assert len(ours.waiting.candidates(Lookahead(heads=10))[0].heads) == 4
    for name in "abcd":
        assert ours.handover.admit(epoch, [Admission(reservation=a_reservation(name), backlog="night")]) == (
            None,
        )
        theirs.attempts.start(an_id(name), 1, "w1", 30)
        report = HeldReport(job_id=an_id(name), attempt=1, progress=0.5, note="half")
        assert theirs.attempts.renew("w1", 30, [report]).answers == ("ok",)
    assert theirs.attempts.accept(a_receipt("a")) == "accepted"
    assert theirs.attempts.fail(a_receipt("b", outcome="failed", cause="task_error"), Retry()) == "accepted"
    assert [r.job_id for r in theirs.orphans.held_by("w1")] == [an_id("c"), an_id("d")]
    assert theirs.orphans.rescue(an_id("c"), 1, "lost", Retry(delay_s=5))
    assert ours.commands.cancel(an_id("d")) == "running"
    theirs.calls.tell_calls((Call(key="cloud", outcome="refused", closes_for_s=1.0, trouble="limited"),))
    theirs.bell.ring()
    assert ours.bell.wait(0.1) and theirs.bell.now() > 0
    from conductor.model.decision import GateLedger

    ours.gate_record.record_gates(epoch, GateLedger())
    ours.control.set_paused("gpu", True)
    assert theirs.control.controls().paused_lanes == ("gpu",)
    assert ours.orphans.orphans(0.0) == ()
    assert ours.handover.queued() == {}, "what was started lies in no queue, whoever took it from there"
    assert ours.tallies.counts()["done"] == 1 and theirs.jobs.job(an_id("a")) is not None
    assert ours.jobs.find("a-") == (an_id("a"),) and list(ours.jobs.ids("done")) == [an_id("a")]
    assert ours.calls.closings().keys() == {"cloud"} and ours.calls.refusals() == {"cloud": 1}
    ours.leadership.resign("c1")


def test_a_program_hears_as_the_reader_what_a_worker_tells(both: tuple[Ledger, Ledger], empty: Guarded):
    ours, theirs = both
    epoch = ours.leadership.lead("c1", 60)
    assert epoch is not None
    ours.intake.put("night", [an_entry("a")])
    ours.handover.admit(epoch, [Admission(reservation=a_reservation("a"), backlog="night")])
    theirs.attempts.start(an_id("a"), 1, "w1", 30)
    with empty.client(READER) as reader, empty.client(WORKER) as worker:
        hearing: Any = reader.pubsub(ignore_subscribe_messages=True)
        hearing.subscribe(f"conductor:progress:{an_id('a')}")
        hearing.get_message(timeout=1)
        fields = {"job_id": an_id("a"), "attempt": 1, "progress": 0.5}
        theirs.events.append([ToldEvent(name="job.progress", at=1.0, fields=fields)])
        message = hearing.get_message(timeout=5)
        assert json.loads(message["data"])["progress"] == 0.5
        theirs.attempts.accept(a_receipt("a"))
        message = hearing.get_message(timeout=5)
        assert json.loads(message["data"])["state"] == "done"
        kept: Any = reader.get(f"conductor:status:{an_id('a')}")
        assert json.loads(kept)["state"] == "done"
        for refused in (("SUBSCRIBE", "other"), ("PUBLISH", "conductor:progress:x", "y")):
            with pytest.raises(NoPermissionError):
                reader.execute_command(*refused)
        with pytest.raises(NoPermissionError):
            worker.publish("other", "x")


def test_the_budgets_of_apis_are_kept_as_the_conductor(both: tuple[Ledger, Ledger], empty: Guarded):
    from conductor.adapters.rates.rates import redis_rates
    from conductor.base.settings.endpoint_settings import Rate

    with connect(empty.url[CONDUCTOR]) as client:
        rates = redis_rates(client, both[0].calls, {"cloud": Rate(requests_per_min=3)})
        rates.take("job-00000001", 1, "cloud", 1, 0)
        (state,) = rates.states(time.time())
    assert state.requests_left == 2


def test_a_whole_job_by_a_worker_that_is_only_the_worker(empty: Guarded, tmp_path: Path):
    settings = as_user(empty, WORKER, tmp_path)
    for root in settings.roots.values():
        root.path.mkdir(parents=True)
    with connect(empty.url[CONDUCTOR]) as client:
        scene: WorkerScene = a_scene(settings, redis_ledger(client))
        try:
            scene.worker()
            spec = scene.put(a_spec(task="mine.write", writes=(Output(path="published:x.txt"),)))
            (receipt,) = scene.wait_state(spec, "done", "dead")
            assert receipt.outcome == "ok", receipt
            story = scene.story()
        finally:
            scene.close()
    assert not any(password in story for password in empty.passwords)
    with empty.client(ADMIN) as admin:
        refused = {str(entry["object"]) for entry in admin.acl_log()}
    # RQ asks for its own address, and the server check for settings: both do without an answer.
    assert refused <= {"client|list", "config|get"}


def test_a_node_reports_and_leaves_as_the_worker(empty: Guarded, tmp_path: Path):
    from tests.builders import a_report

    with open_ledger(as_user(empty, WORKER, tmp_path)) as ledger:
        ledger.reports.publish(a_report(), 5.0)
        assert len(ledger.reports.live()) == 1
        ledger.reports.withdraw(ledger.reports.live()[0].node)
        assert ledger.reports.live() == ()


def test_the_dashboard_reads_as_the_reader(both: tuple[Ledger, Ledger], empty: Guarded):
    from conductor.views.dashboard import connect as dashboard_connect
    from conductor.views.dashboard import make_app

    epoch = both[0].leadership.lead("c1", 60)
    assert epoch is not None
    from conductor.model.decision import Admission

    both[0].intake.put("night", [an_entry("a")])
    both[0].handover.admit(epoch, [Admission(reservation=a_reservation("a"), backlog="night")])
    with dashboard_connect(empty.url[READER], PLAIN, is_own=False) as client:
        pages = make_app(client).test_client()
        for path in ("/", "/0/data/queues.json", "/0/data/workers.json", f"/0/data/job/{an_id('a')}-a1.json"):
            answer = pages.get(path, headers={"Host": "localhost"})
            assert answer.status_code == 200, (path, answer.text)
        jobs = pages.get("/0/data/jobs/cpu-node1/queued/8/asc/1.json", headers={"Host": "localhost"})
    assert an_id("a") in jobs.text


# ── not more ──────────────────────────────────────────────────────────────────────────────────────────────

NOBODY: list[tuple[Any, ...]] = [
    *(("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/"), ("MODULE", "LIST")),
    *(("DEBUG", "SLEEP", "0"), ("KEYS", "*"), ("SHUTDOWN",), ("SAVE",), ("BGREWRITEAOF",), ("MONITOR",)),
    *(("ACL", "LIST"), ("ACL", "SETUSER", "worker", "+@all"), ("SLAVEOF", "a", "1"), ("REPLICAOF", "a", "1")),
    *(
        ("MIGRATE", "h", "1", "k", "0", "1"),
        ("CLIENT", "KILL", "ID", "1"),
        ("CLIENT", "LIST"),
        ("SCRIPT", "FLUSH"),
    ),
    *(
        ("EVAL", "return 1", 0),
        ("FUNCTION", "LIST"),
        ("PUBLISH", "c", "m"),
        ("SWAPDB", "0", "1"),
        ("RANDOMKEY",),
    ),
    *(
        ("GET", "other:key"),
        ("SET", "other:key", "v"),
        ("RENAME", "conductor:jobs", "conductor:x"),
        ("DBSIZE",),
    ),
    *(
        ("OBJECT", "FREQ", "conductor:jobs"),
        ("DUMP", "conductor:jobs"),
        ("RESTORE", "rq:x", "0", "x"),
        ("WAIT", 0, 0),
    ),
]


@pytest.mark.parametrize("name", [CONDUCTOR, WORKER, READER])
@pytest.mark.parametrize("command", NOBODY, ids=lambda c: " ".join(map(str, c[:2])))
def test_what_nobody_needs_is_refused(guarded: Guarded, name: str, command: tuple[Any, ...]):
    # DEBUG is switched off before anybody is asked who they are.
    with (
        guarded.client(name) as client,
        pytest.raises(ResponseError, match=r"not allowed|[Nn]o permissions"),
    ):
        client.execute_command(*command)


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", "conductor:jobs", "x", "{}"),
        ("SET", "conductor:leader", "1 me"),
        ("SET", "conductor:epoch", "9"),
        ("SADD", "conductor:draining", "*"),
        ("SADD", "conductor:paused", "gpu"),
        ("HSET", "conductor:seals", "x", "y"),
        ("DEL", "conductor:jobs"),
    ],
    ids=lambda c: " ".join(c[:2]),
)
def test_a_worker_writes_no_lines_takes_no_lead_and_pauses_nothing(
    guarded: Guarded, command: tuple[str, ...]
):
    with guarded.client(WORKER) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_a_script_of_the_workers_own_may_do_no_more_than_the_worker(empty: Guarded):
    with empty.client(ADMIN) as admin:
        admin.hset("conductor:jobs", "x", "line")
    with empty.client(WORKER) as client:
        digest = client.script_load("return redis.call('HSET', 'conductor:jobs', 'x', 'forged')")
        with pytest.raises(Exception, match="ACL failure"):
            client.evalsha(digest, 0)
    with empty.client(ADMIN) as admin:
        assert admin.hget("conductor:jobs", "x") == b"line"


@pytest.mark.parametrize(
    "command",
    [("SET", "rq:x", "1"), ("DEL", "rq:queues"), ("EVALSHA", "0" * 40, 0), ("SCRIPT", "LOAD", "return 1")],
)
def test_the_reader_writes_nothing_and_runs_nothing(guarded: Guarded, command: tuple[Any, ...]):
    with guarded.client(READER) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_nobody_comes_in_without_a_password(guarded: Guarded):
    with (
        Redis(unix_socket_path=str(guarded.socket), protocol=2) as client,
        pytest.raises(AuthenticationError),
    ):
        client.ping()


def test_a_worker_that_should_dispatch_is_told_what_it_lacks(empty: Guarded, tmp_path: Path):
    with (
        open_ledger(as_user(empty, WORKER, tmp_path)) as ledger,
        pytest.raises(Unreachable, match="may not do this"),
    ):
        ledger.intake.put("night", [an_entry("a")])


def test_the_file_holds_no_password_and_each_time_other_ones():
    once, again = users(), users()

    assert {u.name for u in once} == EVERYBODY and not {u.password for u in once} & {
        u.password for u in again
    }
    assert not any(user.password in acl_text(once) for user in once)
    assert acl_text(once).splitlines()[0] == "user default reset off"


def test_the_command_prints_a_file_that_a_server_takes(tmp_path: Path):
    argv = [sys.executable, "-m", "conductor", "acl"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    told = dict(line.split() for line in done.stderr.splitlines() if line.startswith("  "))
    assert set(told) == EVERYBODY and not any(password in done.stdout for password in told.values())

    server = Guarded(tmp_path, done.stdout)
    try:
        with Redis.from_url(f"unix://worker:{told['worker']}@{server.socket}", protocol=2) as client:
            assert client.ping()
    finally:
        server.process.kill()
        server.process.wait()


def test_the_command_as_json(tmp_path: Path):
    argv = [sys.executable, "-m", "conductor", "acl", "--json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert set(answer["users"]) == EVERYBODY and answer["acl"].count("\n") == 5 and done.stderr == ""


def test_no_password_is_in_a_command_line_a_receipt_a_log_or_redis(empty: Guarded, tmp_path: Path):
    """A program of a job tells its whole environment, while every command line on this machine is read."""
    settings = as_user(empty, WORKER, tmp_path, 'shell_programs = ["env"]\n')
    key = "sk-only-for-the-bodies"
    with connect(empty.url[CONDUCTOR]) as client:
        scene: WorkerScene = a_scene(settings, redis_ledger(client), KEYED)
        try:
            scene.worker(CONDUCTOR_REDIS__URL=empty.url[WORKER], MY_API_KEY=key)
            spec = scene.put(a_spec(task="shell", args={"argv": ["env"]}, workflow="my"))
            (receipt,) = scene.wait_state(spec, "done", "dead")
            shown = command_lines()
            told = scene.story() + "".join(
                f.read_text() for f in settings.receipts_dir.rglob("*") if f.is_file()
            )
        finally:
            scene.close()
    assert receipt.outcome == "ok" and "PATH=" in receipt.result["stdout_tail"]
    assert "workers" in shown
    with empty.client(ADMIN) as admin:
        kept = b"".join(admin.dump(name) or b"" for name in admin.keys("*")).decode("latin-1")
    for secret in (*empty.passwords, key):
        assert secret not in shown and secret not in told and secret not in kept


def command_lines() -> str:
    found: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_text(errors="replace"))
    return "\n".join(found)


KEYED = """\
[endpoints.cloud]
base_url = "http://127.0.0.1:9"
api_key_env = "MY_API_KEY"
"""
