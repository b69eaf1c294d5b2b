"""A real PostgreSQL for tests: started by another user where tests run as root, killed and started again at
will.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg
from free_ports import a_free_port

from workers.system.process_tree import die_with_parent

USER, PASSWORD = "conductor", "s3cret-of-tests"
READY = "database system is ready to accept connections"
#: Nothing of it has to outlive the machine.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "20",
    "superuser_reserved_connections": "3",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "listen_addresses": "127.0.0.1",
    "logging_collector": "off",
    # A test that waits for one does so for the sake of it.
    "deadlock_timeout": "50ms",
}
START_S = 60.0


def binaries() -> Path | None:
    """Of the newest one that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgresServer:
    """One cluster in a folder of its own. `USER` is a superuser, and has to give `PASSWORD`."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder, self.port = folder, a_free_port()
        self._tools, self._as = tools, _other_user()
        self._process: subprocess.Popen[str] | None = None
        self._numbers = count(1)
        if self._as is not None:
            os.chown(folder, self._as.pw_uid, self._as.pw_gid)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.run("initdb", "-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256", "--no-locale",
                 "--pwfile", str(secret), "-E", "UTF8", "--no-sync")  # fmt: skip

    def url(self, database: str = "postgres", user: str = USER) -> str:
        """Without a password, as conductor.toml has it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(database), password=PASSWORD, autocommit=True)

    def database(self) -> str:
        """The name of a new, empty one."""
        name = f"t{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")  # pyright: ignore[reportArgumentType, reportCallIssue]
        return name

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def run(self, tool: str, *arguments: str) -> None:
        subprocess.run([self._tools / tool, *arguments], check=True, capture_output=True, text=True,
                       cwd=self.folder, **self._dropped())  # fmt: skip

    def start(self) -> None:
        """Returns when it takes connections."""
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        parent = os.getpid()
        self._process = subprocess.Popen(
            [self._tools / "postgres", "-D", "data", "-p", str(self.port), "-k", str(self.folder), *options],
            stderr=subprocess.PIPE, text=True, cwd=self.folder,
            preexec_fn=lambda: die_with_parent(signal.SIGQUIT, parent), **self._dropped(),
        )  # fmt: skip
        log = self._process.stderr
        assert log is not None
        said = list[str]()
        for line in log:
            said.append(line)
            if READY in line:
                self._drain = threading.Thread(target=_drain, args=(log,), daemon=True)
                self._drain.start()
                return
        raise AssertionError(f"PostgreSQL did not start: {''.join(said)}")

    def kill(self) -> None:
        """As a power cut would: the server and all its processes at once."""
        assert self._process is not None
        family = [
            psutil.Process(self._process.pid),
            *psutil.Process(self._process.pid).children(recursive=True),
        ]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=START_S)
        self._ended()

    def stop(self) -> None:
        if self._process is not None and self.is_up:
            self._process.send_signal(signal.SIGQUIT)
            self._ended()

    def _ended(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        self._process.wait()
        self._drain.join(START_S)
        self._process.stderr.close()

    def _dropped(self) -> dict[str, Any]:
        """For `subprocess`: as whom, and in which language."""
        who = self._as
        found: dict[str, Any] = {"env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        return (
            found if who is None else {**found, "user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        )


def _drain(log: IO[str]) -> None:
    with suppress(ValueError, OSError):
        for _ in log:
            pass


def _other_user() -> pwd.struct_passwd | None:
    """`initdb` refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("initdb refuses root, and there is neither a user postgres nor nobody")


@contextmanager
def running_postgres(tools: Path) -> Generator[PostgresServer]:
    # Where everybody may look: the folders of pytest are its user's alone.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder), tools)
        server.start()
        try:
            yield server
        finally:
            server.stop()
