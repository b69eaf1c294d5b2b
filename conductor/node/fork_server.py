"""Workers in milliseconds: a process that has imported all that a worker needs, and copies itself for each.

It has one thread, no Redis connection and no device, so that a copy of it is a sound process. Workers are its
children: it tells their ends, and wakes the node by SIGCHLD. Where there is none (not Linux, or it died),
workers are started as programs of their own, which costs a third of a second of CPU each.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from loguru import logger

from conductor.adapters.host.known_process import KnownProcess, is_there, of_process
from conductor.adapters.host.processes import spawn
from conductor.node.early_fork import copied
from conductor.node.restart_backoff import Backoff

#: Imports on a cold, busy disk.
START_LIMIT_S = 60.0
#: One that does not carry out an order within this is stopped, or worse.
ORDER_LIMIT_S = 10.0
#: It leaves at once when its line is closed and its copies are gone.
LEAVE_S = 5.0
#: Who lost its server is looked at so often.
LOOK_EVERY_S = 0.1
#: Room in the server's own words and variables, so that `ps` shows what its copies become.
WORDS_ROOM, VARIABLES_ROOM = 400, 400
#: Holds room among the variables, and means nothing.
ROOM = "_CONDUCTOR_ROOM"
#: One message, either way.
MOST_BYTES = 1 << 16


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy becomes."""

    argv: tuple[str, ...]
    env: dict[str, str]


class Prepared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """All is imported: orders are carried out at once."""


class Forked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The copy is there."""

    pid: int


class CopyEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`exit_code` as `subprocess` has it: a signal's number below zero."""

    pid: int
    exit_code: int


Answer = Prepared | Forked | CopyEnded


class Running(Protocol):
    """A worker's process, whoever started it."""

    pid: int

    def poll(self) -> int | None: ...


class ServerProcess(Protocol):
    """A program of its own, or a copy of the node."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


class ForkedWorker:
    """A copy of the server."""

    def __init__(self, pid: int, look: Callable[[], None]) -> None:
        self.pid = pid
        self.exit_code: int | None = None
        self._look = look

    def poll(self) -> int | None:
        if self.exit_code is None:
            self._look()
        return self.exit_code


class ForkServer:
    """Main thread only. Times are monotonic seconds."""

    def __init__(
        self,
        starts: Callable[[socket.socket], ServerProcess],
        clock: Callable[[], float] = time.monotonic,
        first: tuple[ServerProcess, socket.socket] | None = None,
    ) -> None:
        """`starts`: the program, with its end of the line. `first`: one that was begun already."""
        self._starts = starts
        self._clock = clock
        self._server = first
        self._copies: dict[int, ForkedWorker] = {}
        #: Of servers that are gone: they were told to leave, and nobody hears how they end.
        self._orphans: list[tuple[ForkedWorker, KnownProcess]] = []
        self._backoff = Backoff()
        self._start_at, self._started_at = 0.0, clock()
        self._is_prepared = False
        self._newest: ForkedWorker | None = None

    def start(self) -> None:
        """Its imports begin. Nothing where it is there, or died just now."""
        if self._server is not None or self._clock() < self._start_at or sys.platform != "linux":
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = self._starts(theirs), ours
        self._is_prepared, self._started_at = False, self._clock()

    def await_prepared(self) -> None:
        """Before the first workers: what they would import each for itself is imported once."""
        self._hear(START_LIMIT_S, lambda: self._is_prepared)

    def launch(self, argv: Sequence[str], env: Mapping[str, str]) -> ForkedWorker | None:
        """A worker of that command line; None where there is no server, or none yet."""
        self.start()
        self._hear(0.0)
        if self._server is None or not self._is_prepared:
            return None
        self._newest = None
        try:
            self._server[1].send(msgspec.json.encode(Order(argv=tuple(argv), env=dict(env))))
        except OSError as e:
            self._bury(str(e))
            return None
        self._hear(ORDER_LIMIT_S, lambda: self._newest is not None)
        return self._newest

    @property
    def next_look_s(self) -> float | None:
        """Nothing wakes the node when one of these ends."""
        return LOOK_EVERY_S if self._orphans else None

    def close(self) -> None:
        """Once its copies are gone."""
        if self._server is not None:
            (process, line), self._server = self._server, None
            line.close()
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _look(self) -> None:
        """Which copies have ended."""
        self._hear(0.0)
        for copy, known in [*self._orphans]:
            if not is_there(known):
                copy.exit_code = 0
                self._orphans.remove((copy, known))

    def _hear(self, limit_s: float, is_enough: Callable[[], bool] = lambda: False) -> None:
        """What it says, until it is enough or nothing more is there; who says nothing for so long goes."""
        try:
            while self._server is not None and not is_enough():
                self._server[1].settimeout(limit_s)
                self._note(_received(self._server[1]))
        except BlockingIOError:
            # Also where a copy that has just been made still holds the line.
            if self._server is not None and self._server[0].poll() is not None:
                self._bury("it was killed")
        except TimeoutError:
            self._bury(f"it said nothing for {limit_s:g} s")
        except (OSError, EOFError, msgspec.DecodeError) as e:
            self._bury(str(e))

    def _note(self, answer: Answer) -> None:
        match answer:
            case Prepared():
                self._is_prepared = True
            case Forked(pid=pid):
                self._newest = self._copies[pid] = ForkedWorker(pid, self._look)
            case CopyEnded(pid=pid, exit_code=code):
                if (copy := self._copies.pop(pid, None)) is not None:
                    copy.exit_code = code

    def _bury(self, why: str) -> None:
        assert self._server is not None, "it was there"
        (process, line), self._server = self._server, None
        line.close()
        process.kill()
        code = process.wait()
        self._start_at = self._clock() + self._backoff.died(self._clock() - self._started_at, code)
        logger.warning("The node's fork server ended (exit code {}): {}", code, why)
        for copy in self._copies.values():
            known = of_process(copy.pid)
            if known is None:
                copy.exit_code = 0
            else:
                self._orphans.append((copy, known))
        self._copies.clear()


def _received(line: socket.socket) -> Answer:
    if data := line.recv(MOST_BYTES):
        return msgspec.json.decode(data, type=Answer)
    raise EOFError("it closed its line")


def begun_fork_server(project: Path) -> ForkServer:
    """Of a node that has just begun, and holds nothing yet."""
    return ForkServer(start_fork_server(project), first=copied(project))


def start_fork_server(project: Path) -> Callable[[socket.socket], ServerProcess]:
    def start(theirs: socket.socket) -> subprocess.Popen[bytes]:
        words = ["--fork-server", str(theirs.fileno()), " " * WORDS_ROOM]
        # Unbuffered, as its copies' bodies are to write.
        env = {"CONDUCTOR_PROJECT": str(project), "PYTHONUNBUFFERED": "1", ROOM: "." * VARIABLES_ROOM}
        return spawn(
            [sys.executable, "-P", "-m", "workers", *words], env=env, cwd=project, pass_fds=(theirs.fileno(),)
        )

    return start
