"""How long to wait before starting anew what died: nothing for a first death, longer for one that dies at
start.
"""

from __future__ import annotations

import signal

#: Who lived so long had started properly: its death says nothing about the next start.
SETTLED_S = 5.0
FIRST_S = 0.25
LONGEST_S = 30.0
#: SIGKILL comes from outside (a person, the kernel short of memory) and says little about the next start.
LONGEST_KILLED_S = 1.0
#: From so many quick deaths in a row on it is called a crash loop.
LOOP = 3


class Backoff:
    """One per supervised process. Pure: lifetimes and exit codes come in, delays go out (seconds)."""

    def __init__(self) -> None:
        self.quick_deaths = 0
        self._quick_kills = 0

    def died(self, lived_s: float, exit_code: int | None = None) -> float:
        """`exit_code`: as `subprocess` gives it, negative for a signal."""
        if lived_s >= SETTLED_S:
            self.quick_deaths = self._quick_kills = 0
            return 0.0
        if exit_code == -signal.SIGKILL:
            self._quick_kills += 1
            return min(LONGEST_KILLED_S, _delay(self._quick_kills))
        self.quick_deaths += 1
        return min(LONGEST_S, _delay(self.quick_deaths))

    @property
    def is_looping(self) -> bool:
        return self.quick_deaths >= LOOP


def _delay(deaths: int) -> float:
    """Bounded: a float has no room for 2 ** 5000."""
    return 0.0 if deaths <= 1 else FIRST_S * 2 ** min(deaths - 2, 32)
