"""Whether a program still reads: the sign of life of one that says nothing because it writes nothing yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: So often it is looked at.
LOOK_S = 5.0


class ReadWatch:
    """Calls `on_read` where a program has read more since the last look. One that spins or waits for itself
    reads nothing; a system that does not tell what its processes read gives no sign."""

    def __init__(self, pid: int, on_read: Callable[[], None] | None) -> None:
        self._file = Path(f"/proc/{pid}/io")
        self._on_read = on_read
        self._next = time.monotonic() + LOOK_S
        self._read: bytes | None = self._so_far()

    def within(self, seconds: float) -> float:
        """At most `seconds`: until the next look."""
        return seconds if self._on_read is None else max(0.0, min(seconds, self._next - time.monotonic()))

    def look(self) -> None:
        if self._on_read is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_S
        if (read := self._so_far()) != self._read:
            self._read = read
            self._on_read()

    def _so_far(self) -> bytes | None:
        with suppress(OSError):
            # All that it asked for, of files, pipes and the page cache alike.
            return self._file.read_bytes().partition(b"rchar:")[2].split()[0]
        return None
