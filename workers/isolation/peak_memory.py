"""The most memory that this process held since a job began."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

#: Bytes above the last mark that are taken for a peak.
_WORTH_FORGETTING = 1 << 20


class Peak:
    """The most memory that this process held since a job began, as the kernel counts it."""

    def __init__(self) -> None:
        self._floor = 0

    def begin(self) -> None:
        """Without it a later job would be charged with an earlier one's peak. Costs most where there was
        one.
        """
        if _max_rss() > self._floor + _WORTH_FORGETTING:
            # «5» resets the kernel's high-water mark.
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._floor = _max_rss()

    def mib(self) -> int | None:
        """None where the mark cannot be reset: there it is of the process's whole life."""
        return _max_rss() >> 20 if sys.platform == "linux" else None


def _max_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
