"""The child's stderr: written as ever, and noted where in the file it was."""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import TYPE_CHECKING

from conductor.base.logs.two_streams import RangeWriter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDERR = 2


def mark_stderr(ranges_fd: int) -> None:
    """Before anything of a body's is imported: handlers of logs keep the stream that they find.

    What programs and native libraries write there does not come by here: the worker sees where it ended.
    """
    os.set_inheritable(ranges_fd, False)
    raw = _Marked(RangeWriter(ranges_fd, 0))
    # Not line by line: it would be flushed with each, and a flush is what notes the end of a range.
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(
        raw, sys.stderr.encoding, errors="backslashreplace", write_through=True
    )


class _Marked(io.FileIO):
    """Where a range begins is noted at once; its end with the next range, or when it is flushed. Of a process
    that was killed the end is known from outside."""

    def __init__(self, ranges: RangeWriter) -> None:
        super().__init__(STDERR, "w", closefd=False)
        self._ranges: RangeWriter | None = ranges
        self._start, self._end = 0, -1
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._give_up)

    def write(self, data: ReadableBuffer, /) -> int:
        # One at a time: the place is asked for behind the writing.
        with self._lock:
            count = os.write(STDERR, data)
            try:
                end = os.lseek(STDERR, 0, os.SEEK_CUR)
            except OSError:
                return count  # a body led its stderr elsewhere
            if end - count != self._end:
                self._begin(end - count)
            self._end = end
            return count

    def flush(self) -> None:
        with self._lock:
            self._begin(-1)

    def _begin(self, start: int) -> None:
        if self._ranges is None:
            return
        if self._end > self._start:
            self._ranges.close(self._start, self._end)
        self._start, self._end = start, -1
        if start >= 0:
            self._ranges.begin(start)

    def _give_up(self) -> None:
        """In a copy of the process another may hold the lock, and the places are the original's."""
        self._ranges, self._lock = None, threading.Lock()
