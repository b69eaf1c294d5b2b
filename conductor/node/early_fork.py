"""The node's first fork server: a copy of the node, made while the node has one thread and holds nothing.

What both import is imported once. A node that has begun its work has threads, locks and a connection: from
then on a server is started as a program of its own.
"""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import conductor.adapters.redis as redis_adapters
from conductor.adapters.host.shown_words import has_room

#: The room of workers, which this one knows by name only.
WORKERS = "workers"
#: How often it is looked whether a copy has ended that is waited for.
LOOK_EVERY_S = 0.01


class OwnCopy:
    """A copy of this process, as `subprocess.Popen` has a program."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(WORKERS, timeout or 0.0)
            time.sleep(LOOK_EVERY_S)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def copied(project: Path) -> tuple[OwnCopy, socket.socket] | None:
    """A fork server and the node's end of its line. None where a copy would not be a sound process, or could
    not show what it is: workers and their children are known by their words. In the copy it does not return:
    when its work is done, that process ends from here.
    """
    if sys.platform != "linux" or len(os.listdir("/proc/self/task")) > 1 or not has_room():  # noqa: PTH208
        return None
    # What the node needs in a moment anyway.
    for module in pkgutil.iter_modules(redis_adapters.__path__, f"{redis_adapters.__name__}."):
        importlib.import_module(module.name)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return OwnCopy(pid), ours
    ours.close()
    return _serve(project, theirs.detach())


def _serve(project: Path, line_fd: int) -> NoReturn:
    """As a program that `conductor.adapters.host.processes.spawn` has started."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(project)
    os.environ["CONDUCTOR_PROJECT"] = str(project)
    # Unbuffered, as its copies' bodies are to write.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.FileIO(fd, "w", closefd=False), stream.encoding, stream.errors, write_through=True
        )
        for fd, stream in ((1, sys.stdout), (2, sys.stderr))
    )
    # As with `-P`: neither the folder where somebody called the node nor that of the program's script.
    if not sys.flags.safe_path and sys.path[:1] == [str(Path(sys.argv[0]).parent)]:
        del sys.path[0]
    sys.argv[1:] = ["--fork-server", str(line_fd)]
    runpy.run_module(WORKERS, run_name="__main__", alter_sys=True)
    sys.exit()
