"""One figure of the resource log: «gpu0.vram_used_mib=6144/24576»."""

from __future__ import annotations

import math
from typing import NamedTuple


class ResourceReading(NamedTuple):
    """`place`: a device, a root, or a resource of the whole host. `whole`: of how much; None: not known."""

    place: str
    what: str
    amount: float
    whole: float | None

    def __str__(self) -> str:
        whole = "?" if self.whole is None else f"{self.whole:.15g}"
        return f"{self.place}.{self.what}={self.amount:.15g}/{whole}"


def read_reading(text: str) -> ResourceReading | None:
    """None: that is none."""
    name, _, figures = text.partition("=")
    place, _, what = name.rpartition(".")
    amount, _, whole = figures.partition("/")
    try:
        found = ResourceReading(place, what, float(amount), None if whole in ("", "?") else float(whole))
    except ValueError:
        return None
    is_finite = math.isfinite(found.amount) and math.isfinite(found.whole or 0.0)
    return found if place and is_finite else None
