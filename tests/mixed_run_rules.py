"""The limits of the mixed run (`mixed_run`): times so short that all of them tell, and other rules beside."""

from __future__ import annotations

from typing import Any

from builders import GIB

from conductor.model.limits import BreakerRule, Limits
from conductor.model.snapshot import UsualKind


def hms(hour: int, minute: int, second: int) -> int:
    return hour * 3600 + minute * 60 + second


LIMITS = Limits(
    order="auto",
    place="least_loss",
    disk_headroom_bytes={"scratch": 2 * GIB, "published": GIB},
    weights={"night": 3.0, "rush": 2.0},
    aging_s=60.0,
    overdue_s=150.0,
    keep_after_s=15.0,
    canary={"vision.detect": 2},
    breaker=BreakerRule(failures=3, probes=2, first_s=20.0, longest_s=60.0),
    review_debt=40,
    has_successors=True,
    hours={"hourly": ((hms(22, 15, 40), hms(22, 17, 0)),)},
)
#: Rules that decide the same snapshots beside the live one, now and then.
OTHER_RULES: tuple[dict[str, Any], ...] = (
    {"order": "fifo", "place": "first", "is_safe": False},
    {"order": "shortest"},
    {"order": "area"},
    {"order": "guarded", "place": "tightest"},
    {"order": "largest", "place": "tightest"},
    {"order": "frees", "is_safe": False},
    {"order": "critical", "is_safe": False},
    {"order": "oldest", "place": "random", "seed": 3},
    {"order": "oldest", "has_successors": False, "cpu_share": 0.5, "vram_headroom_mib": 2048},
    {"review_debt": 0, "keep_after_s": None, "overdue_s": None, "aging_s": None},
)
#: What such a snapshot may say was usual, as a simulated run does.
USUAL = (
    UsualKind(own={"cpu": 1000, "ram": 1000}, devices=1, vram_mib=3000, weight=60.0),
    UsualKind(own={"cpu": 2000, "ram": 3000}, devices=1, vram_mib=9000, weight=24.0),
)
