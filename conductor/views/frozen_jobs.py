"""Of a body that stands still: since when, and why."""

from __future__ import annotations

from conductor.model.snapshot import Reservation
from conductor.views.staleness import clock


def frozen_words(r: Reservation, now: float) -> str:
    """«frozen since 18:03: somebody is at this machine»; empty: it goes on."""
    return "" if r.frozen_since is None else f"frozen since {clock(r.frozen_since, now)}: {r.frozen_for}"
