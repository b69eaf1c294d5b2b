"""Real Sentinels over real servers: clients find the new primary, and leave the old one, however it went."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from cli_tools import conductor
from node_scene import until
from redis import Redis
from redis.exceptions import RedisError

from conductor.adapters.open_ledger import connect, redis_of
from conductor.adapters.redis import client as redis_client
from conductor.base.errors import ConfigError, Unreachable
from conductor.base.settings.settings import load
from tests.sentinel_scene import PASSWORD, WatchedServers, watched_servers

#: From the blow to the first answer; the Sentinels wait for 1 s of it.
LIMIT_S = 10.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[WatchedServers]:
    with watched_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


def a_project(folder: Path, url: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conductor.toml").write_text(f'[redis]\nurl = "{url}"\n')
    return folder


@pytest.mark.timeout(120)
@pytest.mark.parametrize("blow", ["kill", "stop", "cut_off", "fail_over"])
def test_who_writes_and_who_waits_find_the_new_primary(servers: WatchedServers, blow: str) -> None:
    # Given somebody in a blocking command, and somebody who writes
    with connect(servers.url) as client, connect(servers.url) as waiting:
        client.set("x", "1")
        rung = threading.Event()
        waiter = threading.Thread(target=wait_for_bell, args=(waiting, rung), daemon=True)
        waiter.start()
        # When the primary goes
        began = time.monotonic()
        old = getattr(servers, blow)()
        new = servers.wait_for_another(old)
        # Then both work by the new one: also where the old one hangs, or takes writes for ever
        until(lambda: written_to(client, servers, new), LIMIT_S)
        until(lambda: rings(client, rung), LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
        waiter.join(LIMIT_S)
        servers.mend(old, new)


def wait_for_bell(client: Redis, rung: threading.Event) -> None:
    while not rung.is_set():
        try:
            if client.blpop(["bell"], timeout=5) is not None:
                rung.set()
        except RedisError:
            time.sleep(0.05)


def written_to(client: Redis, servers: WatchedServers, port: int) -> bool:
    mark = str(time.monotonic())
    try:
        client.set("mark", mark)
    except RedisError:
        return False
    return servers.asked(port, "GET", "mark") == mark.encode()


def rings(client: Redis, rung: threading.Event) -> bool:
    if not rung.is_set():
        try:
            client.rpush("bell", "1")
        except RedisError:
            return False
    return rung.wait(0.2)


def test_a_demoted_server_is_left_at_its_first_refusal(servers: WatchedServers) -> None:
    """Before any Sentinel has said a word: READONLY, UNBLOCKED and a role of replica."""
    with connect(servers.url) as client:
        client.set("x", "1")
        port = servers.primary()
        other = next(each for each in servers.data_ports if each != port)
        servers.asked(port, "REPLICAOF", "127.0.0.1", str(other))
        with pytest.raises(RedisError, match=r"primary no more|is a replica"):
            client.set("x", "2")
        servers.asked(port, "REPLICAOF", "NO", "ONE")
        until(lambda: written_to(client, servers, servers.primary()), LIMIT_S)


def test_every_command_knows_such_an_address(servers: WatchedServers, tmp_path: Path) -> None:
    folder = a_project(tmp_path, servers.url)
    for words in (("status",), ("doctor",), ("config", "show"), ("audit",)):
        done = conductor(*words, cwd=folder)
        assert PASSWORD not in done.out + done.err, words
        assert "Traceback" not in done.err, (words, done.err)
    assert f"mymaster (127.0.0.1:{servers.primary()}), answers" in conductor("doctor", cwd=folder).out
    assert "no replica has heard" in conductor("doctor", cwd=folder).out
    with redis_of(load(folder), is_lenient=True) as client:
        assert redis_client.address(client) == f"mymaster (127.0.0.1:{servers.primary()})"


def test_an_unknown_name_and_sentinels_that_are_not_there(servers: WatchedServers, tmp_path: Path) -> None:
    wrong = servers.url.replace("/mymaster/", "/yourmaster/")
    with pytest.raises(Unreachable, match="no Sentinel says which server is yourmaster"):
        open_once(a_project(tmp_path / "a", wrong))
    with pytest.raises(Unreachable, match=r"no Sentinel says .*127\.0\.0\.1:1"):
        open_once(a_project(tmp_path / "b", "redis+sentinel://127.0.0.1:1/mymaster/0"))
    with pytest.raises(ConfigError, match="has to name the Sentinels"):
        open_once(a_project(tmp_path / "c", "redis+sentinel://127.0.0.1:1"))


def open_once(folder: Path) -> None:
    with redis_of(load(folder)):
        pass
