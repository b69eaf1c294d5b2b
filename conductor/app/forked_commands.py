"""Commands of ours without the half second of imports: forked from a process that has made them already.

`python -m conductor.app.forked_commands FD` is asked over that socket. It holds no project, no Redis and no
thread; what it forks begins as a new process does, with its own folder and streams, and no code of the
project is ever loaded but there. Whoever closes a command's line has it killed.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import NamedTuple

import msgspec

from conductor.dispatch import catalogue

#: What most commands import sooner or later. None of it looks at the folder or the environment.
IMPORTS = (
    "redis",
    "conductor.adapters.redis.signed",
    "conductor.app.cli.app",
    "conductor.app.workflow_lookup",
    "conductor.dispatch.dispatch",
    "conductor.planning.command",
    "conductor.views.as_json",
)
#: Asked for nothing for so long it ends, and gives its memory back.
IDLE_S = 60.0
LINE = 64 << 10


class WantedCommand(msgspec.Struct, frozen=True):
    """Comes with three files: its stdout, its stderr, and the line that its exit code goes to."""

    words: tuple[str, ...]
    project: str
    nice: int = 0


class RunningCommand(NamedTuple):
    pid: int
    ended: int
    line: socket.socket


class Forker:
    """Forks what it is asked for, until nobody asks any more. In the forked process `run` returns what that
    is to do, and in the one that was started None."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._ready = selectors.DefaultSelector()
        self._running: dict[int, RunningCommand] = {}

    def run(self) -> tuple[WantedCommand, list[int]] | None:
        self._ready.register(self._asked, selectors.EVENT_READ)
        while found := self._ready.select(None if self._running else IDLE_S):
            for key, _ in found:
                if key.fileobj is not self._asked:
                    self._heard(key.fd, key.data)
                    continue
                wish, fds, _, _ = socket.recv_fds(self._asked, LINE, 3)
                if not wish:
                    return None
                wanted = msgspec.json.decode(wish, type=WantedCommand)
                if self._is_forked(fds):
                    return wanted, fds
        return None

    def _is_forked(self, fds: list[int]) -> bool:
        line = socket.socket(fileno=fds.pop())
        pid = os.fork()
        if pid == 0:
            line.close()
            self._leave()
            return True
        for fd in fds:
            os.close(fd)
        command = RunningCommand(pid, os.pidfd_open(pid), line)
        self._running[pid] = command
        self._ready.register(command.ended, selectors.EVENT_READ, command)
        self._ready.register(command.line, selectors.EVENT_READ, command)
        return False

    def _heard(self, fd: int, command: RunningCommand) -> None:
        if command.pid not in self._running:
            return
        if fd != command.ended:
            # Nobody waits for it any more.
            self._ready.unregister(command.line)
            os.kill(command.pid, signal.SIGKILL)
            return
        _, status = os.waitpid(command.pid, 0)
        with suppress(OSError):
            command.line.send(b"%d" % os.waitstatus_to_exitcode(status))
        with suppress(KeyError):
            self._ready.unregister(command.line)
        self._ready.unregister(command.ended)
        os.close(command.ended)
        command.line.close()
        del self._running[command.pid]

    def _leave(self) -> None:
        """In the forked process: nothing of the others."""
        self._ready.close()
        self._asked.close()
        for command in self._running.values():
            os.close(command.ended)
            command.line.close()


def become(wanted: WantedCommand, fds: list[int]) -> None:
    """As `python -m conductor` does from its first line on."""
    for fd, place in zip(fds, (1, 2), strict=True):
        os.dup2(fd, place)
        os.close(fd)
    if wanted.nice:
        os.nice(wanted.nice)
    os.environ |= {"CONDUCTOR_PROJECT": wanted.project, "NO_COLOR": "1"}
    os.chdir(wanted.project)
    sys.argv = ["conductor", *wanted.words]
    runpy.run_module("conductor", run_name="__main__", alter_sys=True)


def main() -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    # The built-in tasks; those of a project are its own code.
    catalogue.load_catalogue()
    gc.freeze()
    forked = Forker(socket.socket(fileno=int(sys.argv[1]))).run()
    if forked is not None:
        become(*forked)


if __name__ == "__main__":
    main()
