"""The pipes between a worker and its child (`protocol` says what for): bytes are written, counted and taken
back, and nothing blocks."""

from __future__ import annotations

import fcntl
import os
import termios
from array import array


def pipe() -> tuple[int, int]:
    """(to write, to read), neither of which blocks."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return writer, reader


def drain(reader: int, most: int | None = None) -> int:
    """How many bytes lay there, and were taken."""
    try:
        return len(os.read(reader, 1 << 16 if most is None else most))
    except BlockingIOError:
        return 0


def waiting_in(reader: int) -> int:
    """How many bytes lie there."""
    count = array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]
