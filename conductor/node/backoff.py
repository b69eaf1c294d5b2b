"""How long to wait before starting anew what died: nothing for a first death, longer for one that dies at start."""

from __future__ import annotations

#: Who lived so long had started properly: its death says nothing about the next start.
SETTLED_S = 5.0
FIRST_S = 0.25
LONGEST_S = 30.0
#: From so many quick deaths in a row on it is called a crash loop.
LOOP = 3


class Backoff:
    """One per supervised process. Pure: lifetimes come in, delays go out (both seconds)."""

    def __init__(self) -> None:
        self.quick_deaths = 0

    def died(self, lived_s: float) -> float:
        if lived_s >= SETTLED_S:
            self.quick_deaths = 0
            return 0.0
        self.quick_deaths += 1
        if self.quick_deaths == 1:
            return 0.0
        return min(LONGEST_S, FIRST_S * 2 ** (self.quick_deaths - 2))

    @property
    def is_looping(self) -> bool:
        return self.quick_deaths >= LOOP
