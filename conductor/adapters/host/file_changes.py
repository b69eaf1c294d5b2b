"""That a file may have been removed: a descriptor that is readable then, where the kernel tells (inotify)."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

#: Its links or attributes are others (also where it was removed and is still open somewhere), or its name.
_IN_ATTRIB, _IN_MOVE_SELF = 0x4, 0x800
_libc = ctypes.CDLL(None, use_errno=True)


class FileChanges:
    """Of one file, until the block is left. `is_told`: otherwise nothing is ever readable."""

    def __init__(self, file: Path, is_told: bool = True) -> None:
        is_told = is_told and sys.platform == "linux"
        fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK) if is_told else -1
        #: Nothing where nobody tells: no inotify, or all of the user's are in use.
        self.readable: tuple[int, ...] = (fd,) if fd >= 0 else ()
        if fd >= 0:
            # A file that is gone already is for the next look to find.
            _libc.inotify_add_watch(fd, os.fsencode(file), _IN_ATTRIB | _IN_MOVE_SELF)

    def __enter__(self) -> FileChanges:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self.readable:
            os.close(fd)

    def forget(self) -> None:
        """What was told so far is known."""
        for fd in self.readable:
            with suppress(BlockingIOError):
                os.read(fd, 1 << 12)
