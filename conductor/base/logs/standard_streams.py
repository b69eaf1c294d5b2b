"""Standard streams as a command may find them: closed, their reader gone, in an encoding that lacks letters.

What is said there is for somebody who looks; whether the work goes on, and how it ends, never hangs on that.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from conductor.base.errors import ConductorError

STDOUT, STDERR = 1, 2


def settle() -> None:
    """First thing in a process that a user starts: names are UTF-8, descriptors 0 to 2 are there, and writing
    to them bears a reader who leaves."""
    speak_utf8()
    stand_in()
    # Whoever captures them (a test, a notebook) has streams of his own.
    if sys.stdout is sys.__stdout__:
        sys.stdout = lasting(sys.stdout, STDOUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = lasting(sys.stderr, STDERR)


def speak_utf8() -> None:
    """In a locale of another encoding this process becomes one that takes names for UTF-8, as JSON does: the
    same file would be another name in a manifest, by the shell that it was planned in. Its children follow.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def stand_in() -> None:
    """A descriptor that was closed leads nowhere: else the next file that is opened gets its number, and what
    is said goes into that file."""
    for fd in (0, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def lasting(stream: Any, fd: int) -> io.TextIOWrapper:
    """A stream on `fd` like `stream`, which is None where Python found the descriptor closed."""
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Outlet(fd)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", True),
    )


class Outlet(io.FileIO):
    """Where the other end is gone, what is said is nobody's."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        """Raises `ConductorError` where data for stdout are lost; a full log on stderr is told to nobody."""
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as e:
            self._lead_nowhere()
            if self.fileno() == STDOUT and not isinstance(e, BrokenPipeError):
                raise ConductorError(f"what was to go to stdout could not be written: {e.strerror}") from None
            return len(data)

    def _lead_nowhere(self) -> None:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, self.fileno())
        os.close(sink)
