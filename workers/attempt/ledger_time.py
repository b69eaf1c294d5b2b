"""The ledger's time on a host whose own clock may be hours off, or be set while an attempt runs.

Who looks for what receipts prove goes by their times (`conductor.recovery.reconcile`): one that is dated two
hours back is not looked at, and its job would be done twice.
"""

from __future__ import annotations

import time

#: Off by less, the host's clock counts: the ledger's answer may have been long on its way.
GOOD_S = 60.0


class LedgerTime:
    def __init__(self, told_at: float) -> None:
        """`told_at`: epoch seconds by the ledger's clock, a moment ago."""
        self._told_at, self._heard_at = told_at, _since_boot()

    def ahead_s(self) -> float:
        """By how much the host's clock is ahead of the ledger's; 0 where it is good."""
        ahead_s = time.time() - (self._told_at + _since_boot() - self._heard_at)
        return ahead_s if abs(ahead_s) > GOOD_S else 0.0


def _since_boot() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
