"""Processes that somebody has stopped (SIGSTOP): such a one lives, does nothing, and its parent hears
nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: While one stands it is looked at so often.
LOOK_EVERY_S = 1.0
#: Between two looks more than this, or than the limit: who looks stood still too, with all that it looks at
#: perhaps.
STOOD_STILL_S = 5.0


class StoppedProcesses:
    """Since when which of the processes that are looked after have stood. Times are monotonic seconds."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: dict[int, float] = {}
        self._looked_at = 0.0

    @property
    def some(self) -> tuple[int, ...]:
        """Those that stood at the last look: look again soon."""
        return tuple(self._since)

    def over(self, pids: Iterable[int], now: float) -> dict[int, float]:
        """pid → seconds of those that have been seen to stand for `limit_s` or longer. `pids`: all there
        are.
        """
        if now - self._looked_at > max(STOOD_STILL_S, self.limit_s):
            self._since = {}
        self._looked_at = now
        self._since = {pid: self._since.get(pid, now) for pid in pids if is_stopped(pid)}
        return {pid: now - since for pid, since in self._since.items() if now - since >= self.limit_s}


def is_stopped(pid: int) -> bool:
    """By a signal. One that a debugger holds has somebody who sits before it."""
    if pid <= 0:
        return False
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
        except (OSError, IndexError):
            return False
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def wake(pid: int) -> None:
    """What was said to it meanwhile (SIGTERM) it hears now. No harm to one that runs."""
    with suppress(OSError):
        os.kill(pid, signal.SIGCONT)


def wake_below(pid: int) -> None:
    """Wake all below a process that are stopped: before it is killed, so that they hear of it."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            if is_stopped(child.pid):
                wake(child.pid)
