"""Redis forgets its last seconds while workers live on: a power cut of its host, a replica that lags and
takes over.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from conductor.adapters.redis import valkey, valkey_binary
from tests.chaos import play
from tests.chaos.jobs import made, mixed
from tests.chaos.nemesis import send
from tests.chaos.world import ChaosWorld, a_world

JOBS = 300
#: So much is forgotten.
FORGOTTEN_S = (0.2, 3.0)
#: So many jobs are dispatched meanwhile, each time.
LATE = 10
BROKEN = {"CHAOS_BREAK": "history"}


def run(folder: Path, seed: int, kind: str, cuts: int = 2, is_broken: bool = False) -> list[str]:
    """What is wrong after `cuts` step backs of that kind (empty: nothing). `is_broken`: nobody notices
    them.
    """
    rng = random.Random(seed)
    with a_world(folder, conductors=2, is_hooked=is_broken, env=BROKEN if is_broken else None) as world:
        world.dispatch(mixed(JOBS, rng, 0.25))
        step = {"cut": cut_back, "failover": fail_over}[kind]
        for n in range(cuts):
            enough = JOBS * (n + 1) // (cuts + 2)
            world.until(lambda enough=enough: play.ended(world) >= enough, "it runs", 90.0)
            step(world, rng)
        while not world.is_over():
            play.wait_for_another(world)
        return play.checked(world)


def cut_back(world: ChaosWorld, rng: random.Random) -> None:
    """The append-only file as it was some time ago, at a command's boundary or not."""
    file = aof(world)
    size, forgotten_s = file.stat().st_size, rng.uniform(*FORGOTTEN_S)
    dispatch_late(world, rng)
    time.sleep(forgotten_s)
    pid = world.valkey_pid()
    assert pid is not None
    send(pid, signal.SIGKILL)
    wait_gone(world)
    # Valkey may have begun a new file meanwhile: then the old one is not what it reads.
    file = aof(world)
    os.truncate(file, min(file.stat().st_size, max(0, size - rng.choice((0, 0, 1, 7)))))
    valkey.ensure_running(world.settings.valkey)


def dispatch_late(world: ChaosWorld, rng: random.Random) -> None:
    """In what is forgotten: nobody but the journal knows of it then."""
    number = 10_000 * len(world.manifests)
    world.put(
        *(made(number + n, "chaos.step", {"n": number + n, "seconds": 0.05}, outputs=1) for n in range(LATE))
    )


def aof(world: ChaosWorld) -> Path:
    files = (valkey.place_of(world.settings.valkey).folder / "appendonlydir").glob("*.incr.aof")
    return max(files, key=lambda file: file.stat().st_mtime)


def wait_gone(world: ChaosWorld) -> None:
    deadline = time.monotonic() + 5.0
    while valkey.is_running(world.settings.valkey) and time.monotonic() < deadline:
        time.sleep(0.005)


# ── a replica takes over ──────────────────────────────────────────────────────────────────────────────────


def fail_over(world: ChaosWorld, rng: random.Random) -> None:
    """The replica has not heard for some time when it is promoted, under the address of the one that died."""
    place = valkey.place_of(world.settings.valkey)
    folder = place.folder.parent / f"replica{time.monotonic_ns()}"
    folder.mkdir(mode=0o700)
    with FlakyLink(open_port(world)) as link:
        lock = os.open(place.folder / "server.lock", os.O_RDWR)
        try:
            replica = start_replica(world, folder, link.port, lock)
            link.is_stalled.set()
            dispatch_late(world, rng)
            time.sleep(rng.uniform(*FORGOTTEN_S))
            # Nobody starts the old one again meanwhile.
            with valkey.starting(place):
                pid = world.valkey_pid()
                assert pid is not None
                send(pid, signal.SIGKILL)
                wait_gone(world)
                link.close()
                with Redis(unix_socket_path=str(standby_socket(place)), protocol=2) as client:
                    client.execute_command("REPLICAOF", "NO", "ONE")
                fcntl.flock(lock, fcntl.LOCK_EX)
                standby_socket(place).rename(place.socket)
                place.pid_file.write_text(str(replica.pid))
        finally:
            os.close(lock)


def standby_socket(place: valkey.ServerFolder) -> Path:
    """Beside the primary's: there a path is short enough for a socket."""
    return place.socket.with_name("r.sock")


def open_port(world: ChaosWorld) -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with world.redis as client:
        client.config_set("port", port)
        client.config_set("repl-diskless-sync-delay", 0)
    return port


def start_replica(world: ChaosWorld, folder: Path, port: int, lock: int) -> subprocess.Popen[bytes]:
    """In step with the primary when this returns. It inherits `lock`, by which the project knows its
    server.
    """
    place = valkey.place_of(world.settings.valkey)
    flags = {
        "port": "0",
        "unixsocket": str(standby_socket(place)),
        "dir": str(folder),
        "logfile": str(folder / "log"),
    }
    flags |= {"appendonly": "yes", "appendfsync": "everysec", "save": "", "replicaof": f"127.0.0.1 {port}"}
    words = (word for name, value in flags.items() for word in (f"--{name}", *value.split(" ")))
    argv = [str(valkey_binary.binary_of(place)), *words]
    replica = subprocess.Popen(
        argv, cwd=folder, env=world.env, pass_fds=(lock,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    threading.Thread(target=replica.wait, daemon=True).start()
    deadline = time.monotonic() + 20.0
    while not is_in_step(standby_socket(place)):
        assert replica.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
        time.sleep(0.02)
    return replica


def is_in_step(path: Path) -> bool:
    with suppress(RedisError), Redis(unix_socket_path=str(path), protocol=2) as client:
        told: dict[str, object] = client.info("replication")  # pyright: ignore[reportAssignmentType]
        return told.get("master_link_status") == "up"
    return False


class FlakyLink:
    """What the replica hears goes through here. Stalled, it hears nothing; what was under way then is
    lost.
    """

    def __init__(self, primary: int) -> None:
        self._primary = primary
        self.is_stalled = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> FlakyLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.is_stalled.set()
        for end in (self._server, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                replica, _ = self._server.accept()
                primary = socket.create_connection(("127.0.0.1", self._primary))
                self._ends += [replica, primary]
                threading.Thread(target=self._carry, args=(primary, replica), daemon=True).start()
                threading.Thread(target=self._carry, args=(replica, primary), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while (heard := source.recv(1 << 16)) and not self.is_stalled.is_set():
                sink.sendall(heard)
