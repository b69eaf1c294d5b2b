"""Who wrote into a file: a thread that sleeps until the kernel says so, and by which name it was opened."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: After a look; who writes 2 GB/s gets 20 MB further until the next.
_PAUSE_S = 0.01
#: So many looks follow each other at once after some silence: the finer they are, the plainer is who wrote
#: what.
_AT_ONCE = 20.0
#: Where the kernel does not say who wrote.
_LOOK_EVERY_S = 0.25
_IN_MODIFY = 0x2
_IN_Q_OVERFLOW = 0x4000
#: Watch, what happened, a number, and how long the name is that follows.
_EVENT = struct.Struct("iIII")
_is_linux = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


class WriteWatch:
    """Calls `look` soon after somebody wrote into a file that was opened by a name in `folder`, from a thread
    of its own. `look` asks `names`.
    """

    def __init__(self, folder: Path, look: Callable[[], None]) -> None:
        self._look = look
        self._woken, self._wake = os.pipe()
        self._events = _events_in(folder)
        self._thread = threading.Thread(target=self._work, name="printed", daemon=True)

    def start(self) -> None:
        """What was written since it was made is looked at now. A second time is no matter."""
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        os.close(self._wake)
        if self._thread.is_alive():
            self._thread.join(2.0)

    def names(self) -> list[str]:
        """By which name was written since it was asked last, in order; writes by one name that follow each
        other are one. Empty where the kernel does not say, or there were too many.
        """
        said = b""
        if self._events is not None:
            with suppress(BlockingIOError):
                said = os.read(self._events, 1 << 20)
        found, at = list[str](), 0
        while at < len(said):
            _, happened, _, length = _EVENT.unpack_from(said, at)
            if happened & _IN_Q_OVERFLOW:
                return []
            name = said[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0").decode()
            if found[-1:] != [name]:
                found.append(name)
            at += _EVENT.size + length
        return found

    def _work(self) -> None:
        ends = [self._woken, *([self._events] if self._events is not None else [])]
        limit_s = None if self._events is not None else _LOOK_EVERY_S
        at_once, looked_at = _AT_ONCE, time.monotonic()
        while self._woken not in select.select(ends, [], [], limit_s)[0]:
            self._look()
            now = time.monotonic()
            at_once = min(_AT_ONCE, at_once + (now - looked_at) / _PAUSE_S) - 1.0
            looked_at = now
            if at_once < 0.0:
                time.sleep(_PAUSE_S)
        for end in ends:
            os.close(end)


def _events_in(folder: Path) -> int | None:
    """A descriptor that is readable once somebody wrote; None where the kernel does not tell."""
    if not _is_linux or not folder.is_dir():
        return None
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        return None
    if _libc.inotify_add_watch(fd, os.fsencode(folder), _IN_MODIFY) < 0:
        os.close(fd)
        return None
    return fd
