"""Whatever answers under redis.url and cannot hold a ledger is turned away at the door, in one sentence."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from builders import a_spec
from cli_tools import conductor
from free_ports import a_free_port
from node_scene import until
from redis import Redis, exceptions

from conductor.adapters.open_ledger import redis_of
from conductor.adapters.redis import server_checks
from conductor.adapters.redis.client import connect, translated
from conductor.adapters.redis.valkey_binary import find_binary
from conductor.base.errors import ConductorError, ConfigError, Unreachable
from conductor.base.settings.settings import load
from conductor.record import manifest

#: Those that entrust work, those that only look, those that steer, and those that check.
COMMANDS = (("dispatch", "m.jsonl"), ("status",), ("pause", "gpu"), ("audit",))


@contextmanager
def serving(folder: Path, *options: str) -> Generator[int]:
    """A server on a port of loopback, which is in use by nothing else."""
    port = a_free_port()
    argv = [str(find_binary()), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*argv, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)
    try:
        until(lambda: listens(port))
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def answering(say: Callable[[socket.socket], object]) -> Generator[int]:
    """Something else on a port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    say(line)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as it:
        yield it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    manifest.write(folder / "m.jsonl", [a_spec(1)])
    return folder


def at(folder: Path, url: str) -> Path:
    (folder / "conductor.toml").write_text(
        f"[redis]\nurl = '{url}'\n[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    )
    return folder


def refused(folder: Path, is_lenient: bool = False) -> ConductorError:
    with pytest.raises(ConductorError) as told, redis_of(load(folder), is_lenient=is_lenient):
        pass
    return told.value


def assert_at_every_door(folder: Path, code: int, words: str) -> None:
    for command in COMMANDS:
        shown = conductor(*command, cwd=folder, timeout=60)
        assert shown.code == code and words in shown.err, (command, shown)
        assert "unexpected" not in shown.err and "Traceback" not in shown.err
        (sentence,) = [line for line in shown.err.splitlines() if line.startswith("conductor: ")]
        assert len(sentence) < 300
    assert any(
        line.startswith("BAD") and words in line for line in conductor("doctor", cwd=folder).out.splitlines()
    )


@pytest.mark.slow
def test_a_redis_cluster(folder: Path, tmp_path: Path, stack: ExitStack) -> None:
    port = stack.enter_context(serving(tmp_path, "--cluster-enabled", "yes"))
    at(folder, f"redis://127.0.0.1:{port}/0")
    # Before it is a cluster, and when it is
    assert "is one of a Redis Cluster" in str(refused(folder))
    with Redis(port=port, protocol=2) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        assert_at_every_door(folder, 3, "is one of a Redis Cluster")
        assert "is one of a Redis Cluster" in str(refused(at(folder, f"redis://127.0.0.1:{port}/1")))
        assert client.dbsize() == 0


@pytest.mark.slow
def test_a_database_that_is_not_there(folder: Path, tmp_path: Path, stack: ExitStack) -> None:
    port = stack.enter_context(serving(tmp_path))
    assert_at_every_door(at(folder, f"redis://127.0.0.1:{port}/16"), 3, "has no database 16")
    with Redis(port=port, protocol=2) as client:
        assert client.info("keyspace") == {}


@pytest.mark.parametrize("path", ["abc", "-1", "1/2", "0x1", "١"])
def test_a_database_that_is_no_number(folder: Path, path: str) -> None:
    """redis-py takes the first for 0, and 1/2 for 12: a ledger where nobody looks for it."""
    told = refused(at(folder, f"redis://:a-password@127.0.0.1:1/{path}"))
    assert (
        isinstance(told, ConfigError)
        and "its database is a number" in str(told)
        and "a-password" not in str(told)
    )


@pytest.mark.parametrize("path", ["", "/", "/0", "/15", "/1?client_name=x", "?db=3"])
def test_urls_that_name_a_database_or_none(path: str) -> None:
    assert connect(f"redis://127.0.0.1:1{path}") is not None


@pytest.mark.slow
def test_a_replica(folder: Path, tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    primary = stack.enter_context(serving(tmp_path / "one"))
    port = stack.enter_context(serving(tmp_path / "two", "--replicaof", "127.0.0.1", str(primary)))
    assert_at_every_door(
        at(folder, f"redis://127.0.0.1:{port}/0"), 4, "is a replica: point redis.url at the primary"
    )
    with Redis(port=port, protocol=2) as client:
        # One that takes writes loses them at its next resync.
        client.config_set("replica-read-only", "no")
        assert "is a replica" in str(refused(folder))
        client.config_set("replica-serve-stale-data", "no")
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        until(lambda: client.info("replication")["master_link_status"] == "down")
        assert "is a replica" in str(refused(folder, is_lenient=True))


def test_a_sentinel(folder: Path, tmp_path: Path, stack: ExitStack) -> None:
    port = a_free_port()
    file = tmp_path / "sentinel.conf"
    file.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor one 127.0.0.1 1 1\n")
    process = subprocess.Popen([str(find_binary()), str(file), "--sentinel"], stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    until(lambda: listens(port))
    told = refused(at(folder, f"redis://127.0.0.1:{port}/0"))
    assert isinstance(told, ConfigError) and "is a Sentinel" in str(told)


def test_passwords(folder: Path, tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "open").mkdir()
    closed = stack.enter_context(serving(tmp_path, "--requirepass", "the-password"))
    opened = stack.enter_context(serving(tmp_path / "open"))
    for url, words in (
        (f"redis://127.0.0.1:{closed}/0", "it asks for a password"),
        (f"redis://:wrong-one@127.0.0.1:{closed}/0", "user or password is wrong"),
        (f"redis://nobody:wrong-one@127.0.0.1:{opened}/0", "user or password is wrong"),
        (
            f"redis://:wrong-one@127.0.0.1:{opened}/0",
            "it asks for no password: take the one in redis.url out",
        ),
    ):
        for is_lenient in (False, True):
            told = refused(at(folder, url), is_lenient)
            assert isinstance(told, Unreachable) and words in str(told) and "wrong-one" not in str(told)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-replicas-to-write", "1"), "it wants more replicas"),
        (("--rename-command", "EVALSHA", ""), "does not know a command"),
        (("--maxmemory", "1000000"), "its memory is full"),
    ],
    ids=["replicas", "commands", "memory"],
)
def test_a_server_that_does_not_take_what_it_is_given(
    folder: Path, tmp_path: Path, stack: ExitStack, options: tuple[str, ...], words: str
) -> None:
    port = stack.enter_context(serving(tmp_path, *options))
    shown = conductor("dispatch", "m.jsonl", cwd=at(folder, f"redis://127.0.0.1:{port}/0"))
    assert shown.code == 4 and words in shown.err and "unexpected" not in shown.err


DENIED = b"-DENIED Redis is running in protected mode because protected mode is enabled.\r\n"


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (lambda line: line.sendall(DENIED), "protected mode"),
        (
            lambda line: line.sendall(b"-ERR max number of clients reached\r\n"),
            "max number of clients reached",
        ),
        (lambda line: (line.recv(99), line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")), "is no Redis"),
        (lambda line: (line.recv(99), line.sendall(b"\x15\x03\x01\x00\x02\x02\x46")), "rediss://"),
        (lambda line: line.recv(99), "rediss://"),
        (lambda line: (line.recv(99), line.sendall(b"-ERR something else\r\n")), "something else"),
    ],
    ids=["protected", "full", "http", "tls-alert", "hangs-up", "unheard-of"],
)
def test_what_else_may_answer(
    folder: Path, stack: ExitStack, say: Callable[[socket.socket], object], words: str
) -> None:
    url = f"redis://127.0.0.1:{stack.enter_context(answering(say))}/0"
    for is_lenient in (False, True):
        told = refused(at(folder, url), is_lenient)
        assert isinstance(told, Unreachable) and words in str(told)


def test_who_is_mute_is_not_waited_for_long(
    folder: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_checks, "ANSWERS_S", 0.2)
    port = stack.enter_context(answering(lambda line: line.recv(99) and line.recv(99)))
    began = time.monotonic()
    told = refused(at(folder, f"redis://127.0.0.1:{port}/0"))
    assert isinstance(told, Unreachable) and "does not answer" in str(told)
    assert time.monotonic() - began < 5


def test_a_plain_port_that_is_asked_for_tls(
    folder: Path, tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_checks, "ANSWERS_S", 0.5)
    port = stack.enter_context(serving(tmp_path))
    began = time.monotonic()
    told = refused(at(folder, f"rediss://127.0.0.1:{port}/0"))
    assert isinstance(told, Unreachable) and "redis:// instead of rediss://" in str(told)
    assert time.monotonic() - began < 5


def test_a_certificate_that_is_not_trusted() -> None:
    error = exceptions.ConnectionError(
        "Error 1 connecting. [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"
    )
    told = str(translated(connect("rediss://127.0.0.1:1/0"), error))
    assert "its certificate is not trusted here" in told and "ssl_ca_certs" in told
