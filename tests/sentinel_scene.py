"""A primary, replicas and three Sentinels: real servers on ports of loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from conductor.adapters.host.processes import TIED
from conductor.adapters.redis.valkey_binary import find_binary
from tests.free_ports import a_free_port

SERVICE = "mymaster"
#: Sentinels and replicas come to a server as one user, clients as another: one can be cut off, the other not.
WATCH, CLIENT, PASSWORD = "watch", "client", "a-password"
LOGIN = {"username": CLIENT, "password": PASSWORD}
#: The Sentinels have users of their own: one for each other, and one for who only asks.
PEER, ASKS, OWN_PASSWORD = "peer", "asks", "own/password"
OWN_LOGIN = {"username": PEER, "password": OWN_PASSWORD}
#: As docs/redis.md says.
ASKS_RIGHTS = "+auth +hello +ping +sentinel|master +sentinel|get-master-addr-by-name"
DOWN_AFTER_MS = 1000


class WatchedServers:
    """`primary`, `kill` and the like speak of the server that is the primary now."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self._folder = folder
        self._options = options
        self._going: dict[int, subprocess.Popen[bytes]] = {}
        self.data_ports: list[int] = []
        self.sentinel_ports: list[int] = []

    def start_all(self, replicas: int, down_after_ms: int, watched: Sequence[str]) -> None:
        first, *rest = self.data_ports = [a_free_port() for _ in range(replicas + 1)]
        self.start(first)
        for port in rest:
            self.start(port, replica_of=first)
        until(lambda: self.replicas_in_step(first) == replicas, "the replicas are in step")
        self.sentinel_ports = [a_free_port() for _ in range(3)]
        for port in self.sentinel_ports:
            self._start_sentinel(port, first, down_after_ms, watched)
        until(lambda: self._know_each_other(replicas), "the Sentinels know each other and the replicas")

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        own = f"sentinel_username={ASKS}&sentinel_password={quote(OWN_PASSWORD, safe='')}"
        return f"redis+sentinel://{CLIENT}:{PASSWORD}@{hosts}/{SERVICE}/0?{own}"

    # ── what is done to them ──────────────────────────────────────────────────────────────────────────────

    def start(self, port: int, replica_of: int | None = None) -> None:
        """Again, too: with what it had on its disk."""
        home = self._folder / str(port)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = (
            f"port {port}", "bind 127.0.0.1", f"dir {home}", f"logfile {home / 'log'}",
            "appendonly yes", 'save ""', "repl-diskless-sync-delay 0",
            "user default off", *(f"user {name} on >{PASSWORD} ~* &* +@all" for name in (WATCH, CLIENT)),
            f"masteruser {WATCH}", f"masterauth {PASSWORD}",
            *self._options, *([] if replica_of is None else [f"replicaof 127.0.0.1 {replica_of}"]),
        )  # fmt: skip
        file = home / "server.conf"
        file.write_text("\n".join(lines) + "\n")
        self._run(port, [str(file)])
        until(lambda: self.asked(port, "PING"), f"{port} answers")

    def kill(self) -> int:
        """Its port."""
        port = self.primary()
        self._going[port].kill()
        self._going[port].wait()
        return port

    def stop(self) -> int:
        """It neither answers nor hangs up. Its port, for `wake`."""
        port = self.primary()
        self._going[port].send_signal(signal.SIGSTOP)
        return port

    def wake(self, port: int) -> None:
        self._going[port].send_signal(signal.SIGCONT)

    def cut_off(self) -> int:
        """From Sentinels and replicas; clients still reach it, and it takes their writes. Its port, for
        `reach_again`."""
        port = self.primary()
        self.asked(port, "ACL", "SETUSER", WATCH, "off")
        self.asked(port, "CLIENT", "KILL", "USER", WATCH)
        return port

    def reach_again(self, port: int) -> None:
        self.asked(port, "ACL", "SETUSER", WATCH, "on")

    def mend(self, old: int, new: int) -> None:
        """However it went, at once: the Sentinels leave it ten seconds to find out for itself."""
        if self._going[old].poll() is not None:
            self.start(old, replica_of=new)
        self.wake(old)
        self.reach_again(old)
        self.asked(old, "REPLICAOF", "127.0.0.1", str(new))
        self.wait_in_step()

    def stall_replicas(self) -> None:
        """They hear nothing of the primary any more, until a failover or the Sentinels mend that."""
        primary = self.primary()
        for port in self.data_ports:
            if port != primary:
                self.asked(port, "REPLICAOF", "127.0.0.1", "1")

    def fail_over(self) -> int:
        """The quiet way: nobody dies. The port of who was the primary."""
        port = self.primary()
        until(lambda: self._sentinel("SENTINEL", "FAILOVER", SERVICE), "a failover begins")
        return port

    def wait_for_another(self, old: int, limit_s: float = 20.0) -> int:
        """Its port, once the Sentinels name it."""
        until(lambda: self.primary() not in (0, old), f"another than {old} is the primary", limit_s)
        return self.primary()

    def wait_in_step(self, limit_s: float = 30.0) -> None:
        """All others are replicas that have what the primary has, and the Sentinels would take them."""
        others = len(self.data_ports) - 1
        until(lambda: self.replicas_in_step(self.primary()) == others, "all replicas are in step", limit_s)
        until(lambda: self._know_each_other(others), "the Sentinels see it", limit_s)

    # ── what is asked ─────────────────────────────────────────────────────────────────────────────────────

    def primary(self) -> int:
        """0: no Sentinel says."""
        found: Any = self._sentinel("SENTINEL", "get-master-addr-by-name", SERVICE)
        return int(found[1]) if found else 0

    def asked(self, port: int, *words: str) -> Any:
        """None where there is no answer."""
        user: dict[str, Any] = OWN_LOGIN if port in self.sentinel_ports else LOGIN
        with suppress(RedisError), Redis(port=port, protocol=2, socket_timeout=1.0, **user) as client:
            return client.execute_command(*words)
        return None

    def replicas_in_step(self, port: int) -> int:
        found: dict[str, Any] = self.asked(port, "INFO", "replication") or {}
        rows = [row for name, row in found.items() if name.startswith("slave") and isinstance(row, dict)]
        return sum(row.get("state") == "online" for row in rows)

    def _sentinel(self, *words: str) -> Any:
        return next((found for port in self.sentinel_ports if (found := self.asked(port, *words))), None)

    def _know_each_other(self, replicas: int) -> bool:
        """Each knows the others, and of so many replicas that they are in step."""
        for port in self.sentinel_ports:
            with (
                suppress(RedisError),
                Redis(port=port, protocol=2, socket_timeout=1.0, **OWN_LOGIN) as client,
            ):
                told: Any = client.sentinel_master(SERVICE)
                rows: Any = client.sentinel_slaves(SERVICE)
                fit = [r for r in rows if (r["flags"], r["master-link-status"]) == ("slave", "ok")]
                if told["num-other-sentinels"] == 2 and len(fit) == replicas:
                    continue
            return False
        return True

    # ── processes ─────────────────────────────────────────────────────────────────────────────────────────

    def _start_sentinel(self, port: int, first: int, down_after_ms: int, watched: Sequence[str]) -> None:
        home = self._folder / f"sentinel{port}"
        home.mkdir(mode=0o700)
        lines = (
            f"port {port}", "bind 127.0.0.1", f"dir {home}", f"logfile {home / 'log'}",
            "user default off",
            f"user {PEER} on >{OWN_PASSWORD} allchannels +@all",
            f"user {ASKS} on >{OWN_PASSWORD} {ASKS_RIGHTS}",
            f"sentinel sentinel-user {PEER}",
            f"sentinel sentinel-pass {OWN_PASSWORD}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {first} 2",
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 2000",
            f"sentinel auth-user {SERVICE} {WATCH}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            *watched,
        )  # fmt: skip
        file = home / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        self._run(port, [str(file), "--sentinel"])

    def _run(self, port: int, words: Sequence[str]) -> None:
        argv = [sys.executable, "-I", "-S", str(TIED), str(os.getpid()), str(find_binary()), *words]
        self._going[port] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        for process in self._going.values():
            process.kill()
            process.wait()


def until(what: Callable[[], Any], why: str, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, f"not in {limit_s:g} s: {why}"
        time.sleep(0.02)


@contextmanager
def watched_servers(
    folder: Path,
    replicas: int = 1,
    down_after_ms: int = DOWN_AFTER_MS,
    options: Sequence[str] = (),
    watched: Sequence[str] = (),
) -> Generator[WatchedServers]:
    """`options`: more lines of the data servers' configuration; `watched`: of the Sentinels'."""
    servers = WatchedServers(folder, options)
    try:
        servers.start_all(replicas, down_after_ms, watched)
        yield servers
    finally:
        servers.close()
