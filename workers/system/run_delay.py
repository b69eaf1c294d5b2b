"""Whether a thread had a core, by the scheduler's account of it (Linux). Where more want to run than there
are cores, what a body takes by the clock says more of the others than of it.
"""

from __future__ import annotations

import os
from contextlib import suppress

_ACCOUNT = "/proc/thread-self/schedstat"


class RunDelay:
    """For how long the thread that made this could have run and had no core. Seconds, since it began."""

    def __init__(self) -> None:
        self._fd = -1
        with suppress(OSError):
            # Held open: it is read twice for each body, and most of a reading would be the opening.
            self._fd = os.open(_ACCOUNT, os.O_RDONLY | os.O_CLOEXEC)

    def seconds(self) -> float:
        """0 where there is no account, or somebody has closed it."""
        if self._fd < 0:
            return 0.0
        try:
            return int(os.pread(self._fd, 96, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0


def ran_s(pid: int) -> float | None:
    """Seconds on a core of a process's first thread, while it runs or could run. None: it waits for something
    itself (a sleep, a disk, another process), or nobody can tell."""
    try:
        if _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] != b"R":
            return None
        return int(_read(f"/proc/{pid}/schedstat").split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _read(file: str) -> bytes:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 12)
    finally:
        os.close(fd)
