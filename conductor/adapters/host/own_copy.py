"""A copy of this process that does other work from there on (Linux): what both have imported is imported
once, and lies in memory once.

It is made while the process has one thread and holds nothing that a copy must not have: no connection, no
lock, no handler of a signal.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from conductor.adapters.host.die_with_parent import PR_SET_PDEATHSIG
from conductor.adapters.host.shown_words import has_room

#: How often it is looked whether a copy has ended that is waited for, where the kernel does not tell.
LOOK_EVERY_S = 0.01


class OwnCopy:
    """A copy of this process, as `subprocess.Popen` has a program."""

    def __init__(self, pid: int, name: str = "copy") -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._name = name

    def poll(self) -> int | None:
        if self.returncode is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left_s = None if until is None else until - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise subprocess.TimeoutExpired(self._name, timeout or 0.0)
            _await_end(self.pid, left_s)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _await_end(pid: int, limit_s: float | None) -> None:
    """Or `limit_s`."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        time.sleep(LOOK_EVERY_S)
        return
    try:
        select.select([fd], [], [], limit_s)
    finally:
        os.close(fd)


def can_copy() -> bool:
    """A copy would be a sound process, and could show what it is: ours are known by their words."""
    return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1 and has_room()  # noqa: PTH208


def settle_copy(project: Path) -> None:
    """In the copy: from here on it is a process as `conductor.adapters.host.processes.spawn` starts one."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(project)
    # As with `-P`: neither the folder where somebody called this command nor that of the program's script.
    if not sys.flags.safe_path and sys.path[:1] == [str(Path(sys.argv[0]).parent)]:
        del sys.path[0]


def die_with(parent: int) -> None:
    """SIGTERM to this process when its parent dies: it ends here, where that one has died already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)
