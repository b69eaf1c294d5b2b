"""No process outlives the one that answers for it: parent-death signals, adopted orphans, killing a whole
family.

Linux has all of it. On macOS a child that is busy when its parent is killed ends with its job at the
earliest.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REAP_S = 2.0
#: Of a command line, in a receipt.
_MOST_WORDS = 100

_is_linux = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if _is_linux else None


def die_with_parent(number: signal.Signals, parent: int | None = None) -> None:
    """Have the kernel send `number` to this process when the thread that started it ends.

    `parent`: the pid expected; when it is gone already, this process leaves at once.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # It may have died before the call above: then nobody will send the signal.
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Processes below this one whose parent dies become this one's children, so that `kill_family` finds
    them.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """Direct children, whichever thread started them."""
    if not _is_linux:
        return _children_by_psutil(pid)
    found: list[int] = []
    # Asked between a body's end and the step that frees what it held: no Path for each thread.
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with suppress(OSError):
                found += map(int, _content(f"/proc/{pid}/task/{task}/children").split())
    return found


def _content(file: str) -> bytes:
    fd, found = os.open(file, os.O_RDONLY | os.O_CLOEXEC), b""
    try:
        while chunk := os.read(fd, 1 << 16):
            found += chunk
        return found
    finally:
        os.close(fd)


def _children_by_psutil(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def kill_family(pid: int) -> None:
    """SIGKILL `pid` and everything below it. A child of ours may be gone already; it is not reaped here."""
    # Stopped first: a process that is being killed cannot start another one behind our back.
    _send(pid, signal.SIGSTOP)
    for child in children_of(pid):
        kill_family(child)
    _send(pid, signal.SIGKILL)


def kill_group(pid: int) -> None:
    """SIGKILL the process group that `pid` leads."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_adopted(but: Collection[int] = ()) -> tuple[str, ...]:
    """SIGKILL and reap every child of this process except `but`. Who was running, as `ps` would name it."""
    killed: list[str] = []
    tried = set(but)
    # Again: what was below one of them comes to us when that one is gone.
    while pids := set(children_of(os.getpid())) - tried:
        for pid in sorted(pids):
            if words := words_of(pid):
                killed.append(f"{words} (pid {pid})")
            kill_family(pid)
            _reap(pid)
        tried |= pids
    return tuple(killed)


def _reap(pid: int) -> None:
    """Of one that was killed. It may not be ours to kill (`sudo`), or hang in the kernel: then it is left."""
    until = time.monotonic() + _REAP_S
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(0.001)


def words_of(pid: int) -> str:
    """Its command line, cut; empty of one that has ended."""
    try:
        words = _content(f"/proc/{pid}/cmdline") if _is_linux else _words_by_psutil(pid)
    except OSError:
        return ""
    text = " ".join(words.decode("utf-8", "replace").split("\0")).strip()
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} …"


def _words_by_psutil(pid: int) -> bytes:
    import psutil

    try:
        return " ".join(psutil.Process(pid).cmdline()).encode("utf-8", "surrogateescape")
    except psutil.Error:
        return b""


class Strays:
    """What bodies leave running, however it got away: orphans below this process come to it
    (`adopt_orphans`).
    """

    def __init__(self) -> None:
        #: Those that belong to what is kept warm.
        self._kept: set[int] = set()

    def end(self, *, keeps: bool = False) -> tuple[str, ...]:
        """After a body: kill what it left, and all below it. Who that was. `keeps`: it made what stays warm
        for later jobs, and its processes with it."""
        if not _has_children():
            return ()
        if keeps:
            self._kept = set(children_of(os.getpid()))
        return kill_adopted(but=self._kept)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
