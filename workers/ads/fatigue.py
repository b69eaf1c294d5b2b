"""Is a creative worn out? Three signs over its last week, against the weeks before. Pure.

- **frequency**: impressions of the last seven days, a person of their reach. People grow tired between three
  and four (Meta, «Creative fatigue», 2022: at the fourth exposure a click is some 45 % less likely).
- **click rate**: fell by a quarter or more, and by more than chance: the two-proportion test has z <= -2.
- **CPM**: a thousand impressions cost a quarter more. An auction charges what is liked less more.

One sign is «watch», two are «tired», three are «critical». Critical is, too, whose frequency is beyond its
limit and whose click costs twice what it did: at twice the cost per result Meta says «creative fatigue».
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from workers.ads.figures import DailyFigure

WINDOW_DAYS = 7
#: How unlikely a fall of the click rate has to be by chance alone: about 1 in 44.
Z_LIMIT = -2.0

FatigueLevel = Literal["ok", "watch", "tired", "critical", "unknown"]
_BY_SIGNS: Mapping[int, FatigueLevel] = {0: "ok", 1: "watch", 2: "tired", 3: "critical"}


class FatigueLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which value on a sign is one."""

    frequency: Annotated[float, Meta(gt=0, le=1000)] = 3.4
    #: As shares: 0.25 is a quarter.
    click_rate_fall: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    cpm_rise: Annotated[float, Meta(gt=0, le=100)] = 0.25
    #: A click costs so many times what it did.
    click_cost: Annotated[float, Meta(gt=1, le=1000)] = 2.0
    #: The days before the last week that it is held against.
    baseline_days: Annotated[int, Meta(ge=1, le=365)] = 14
    #: In each of the two windows; of fewer nothing is said.
    least_impressions: Annotated[int, Meta(ge=1, le=10**9)] = 1000


class FatigueSigns(Struct, frozen=True, kw_only=True):
    """What was found of one creative. Rates are shares, money is in units; None: cannot be said."""

    creative: str
    level: FatigueLevel
    frequency: float | None = None
    click_rate: float | None = None
    click_rate_before: float | None = None
    z: float | None = None
    cpm: float | None = None
    cpm_before: float | None = None
    click_cost_ratio: float | None = None
    signs: tuple[str, ...] = ()


class _Sum(NamedTuple):
    impressions: int
    clicks: int
    spend_micros: int


def judged(figures: Iterable[DailyFigure], limits: FatigueLimits) -> list[FatigueSigns]:
    """One a creative, the worst first, then by name. The last day that anything is told of is today."""
    rows = sorted(figures, key=lambda row: (row.creative, row.day))
    if not rows:
        return []
    today = max(row.day for row in rows)
    by_creative: dict[str, list[DailyFigure]] = {}
    for row in rows:
        by_creative.setdefault(row.creative, []).append(row)
    found = [_signs(creative, days, today, limits) for creative, days in by_creative.items()]
    return sorted(found, key=lambda each: (-severity(each), each.creative))


def severity(found: FatigueSigns) -> float:
    """Level first, frequency within it."""
    order = ("unknown", "ok", "watch", "tired", "critical").index(found.level)
    return order * 1e6 + min(found.frequency or 0.0, 1e5)


def _signs(creative: str, days: list[DailyFigure], today: date, limits: FatigueLimits) -> FatigueSigns:
    begins = today - timedelta(days=WINDOW_DAYS - 1)
    week = [row for row in days if row.day >= begins]
    before = [row for row in days if begins - timedelta(days=limits.baseline_days) <= row.day < begins]
    now, then = _sum(week), _sum(before)
    # Not on air any more, or not for long enough.
    if min(now.impressions, then.impressions) < limits.least_impressions:
        return FatigueSigns(creative=creative, level="unknown")
    reach = week[-1].reach_7d
    frequency = now.impressions / reach if reach else None
    rate, rate_before = now.clicks / now.impressions, then.clicks / then.impressions
    cpm, cpm_before = (each.spend_micros / each.impressions / 1000 for each in (now, then))
    z = z_of(now.clicks, now.impressions, then.clicks, then.impressions)
    ratio = (cpm / rate) / (cpm_before / rate_before) if rate and rate_before and cpm_before else None
    signs: list[str] = []
    if frequency is not None and frequency >= limits.frequency:
        signs.append("frequency")
    if rate_before and rate <= rate_before * (1 - limits.click_rate_fall) and z <= Z_LIMIT:
        signs.append("click_rate")
    if cpm_before and cpm >= cpm_before * (1 + limits.cpm_rise):
        signs.append("cpm")
    # Who pays and gets no click at all pays more for one than any limit.
    is_dear = ratio >= limits.click_cost if ratio is not None else bool(cpm and not rate and rate_before)
    level = "critical" if "frequency" in signs and is_dear else _BY_SIGNS[len(signs)]
    return FatigueSigns(
        creative=creative,
        level=level,
        frequency=_told(frequency),
        click_rate=_told(rate),
        click_rate_before=_told(rate_before),
        z=_told(z),
        cpm=_told(cpm),
        cpm_before=_told(cpm_before),
        click_cost_ratio=_told(ratio),
        signs=tuple(signs),
    )


def z_of(clicks: int, impressions: int, clicks_before: int, impressions_before: int) -> float:
    """Of two proportions, pooled: how far apart they are, in standard deviations of chance; below 0: fell."""
    pooled = (clicks + clicks_before) / (impressions + impressions_before)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / impressions + 1 / impressions_before))
    return (clicks / impressions - clicks_before / impressions_before) / spread if spread else 0.0


def _sum(rows: list[DailyFigure]) -> _Sum:
    return _Sum(
        impressions=sum(row.impressions for row in rows),
        clicks=sum(row.clicks for row in rows),
        spend_micros=sum(row.spend_micros for row in rows),
    )


def _told(value: float | None) -> float | None:
    """Six digits: enough for a person, and the same wherever it is worked out."""
    return None if value is None else float(f"{value:.6g}")


def in_words(found: FatigueSigns) -> str:
    """For who is to decide."""
    parts = [f"each person saw it {found.frequency:.1f} times in a week"] if found.frequency else []
    if found.click_rate is not None and found.click_rate_before:
        parts.append(f"click rate {found.click_rate:.2%} (was {found.click_rate_before:.2%})")
    if found.cpm is not None and found.cpm_before:
        parts.append(f"CPM {found.cpm:.2f} (was {found.cpm_before:.2f})")
    if found.click_cost_ratio:
        parts.append(f"a click costs {found.click_cost_ratio:.1f} times what it did")
    return "; ".join(parts)
