"""The rules that `conductor simulate --policy` knows: ours, and simple ones to compare it with.

A policy says who goes first, where to, and whether a way out is kept. What becomes of those that wait long is
`[waiting]` of conductor.toml, under every policy, as is the share of backlogs.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from conductor.analysis.simulation.cluster import PLENTY
from conductor.base.errors import UsageError
from conductor.base.settings.settings import did_you_mean
from conductor.model.limits import Limits, Order, PlaceRule

DEFAULT = "auto"

#: Name → who goes first, where to, and whether a way out is kept.
POLICIES: Mapping[str, tuple[Order, PlaceRule, bool]] = {
    "auto": ("auto", "least_loss", True),
    "fifo": ("fifo", "first", False),
    "first_fit": ("oldest", "first", False),
    "best_fit": ("largest", "tightest", False),
    "shortest": ("shortest", "least_loss", True),
    "area": ("area", "least_loss", True),
    "guarded": ("guarded", "least_loss", True),
    "tightest": ("oldest", "tightest", True),
    "random": ("oldest", "random", False),
    # Of disks: «does my output fit now?», in four orders.
    "threshold": ("oldest", "tightest", False),
    "threshold_frees": ("frees", "tightest", False),
    "threshold_critical": ("critical", "tightest", False),
}


def limits_of(policy: str, seed: int = 0, live: Limits | None = None) -> Limits:
    """`live`: the limits of the conductor whose rule is played; None: the bare policy, as it was published.

    Raises `UsageError` with the names there are.
    """
    if policy not in POLICIES:
        raise UsageError(
            f"there is no policy {policy!r}{did_you_mean(policy, POLICIES) or ': ' + ', '.join(POLICIES)}"
        )
    order, place, is_safe = POLICIES[policy]
    bare = Limits(
        depth={"gpu": PLENTY, "cpu": PLENTY, "io": PLENTY, "cloud": PLENTY},
        vram_headroom_mib=0,
        ram_headroom_mib=0,
        default_disk_headroom_bytes=0,
        report_ttl_s=float("inf"),
        order=order,
        place=place,
        is_safe=is_safe,
        seed=seed,
    )
    if live is None:
        return bare
    waiting = {
        name: getattr(live, name)
        for name in ("aging_s", "overdue_s", "keep_after_s", "weights", "half_life_s")
    }
    ours = {name: getattr(live, name) for name in ("order", "place", "is_safe")} if policy == DEFAULT else {}
    # What others would hold nobody knows: nothing.
    counters = {
        name: msgspec.structs.replace(rule, has_command=False) for name, rule in live.counters.items()
    }
    return msgspec.structs.replace(bare, **waiting, **ours, counters=counters)
