"""What must not change which creatives are called worn out, and that a person sees every critical one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_bench import Bench

from workers.ads.fatigue import FatigueLevel, FatigueLimits, judged
from workers.ads.figures import COLUMNS, DailyFigure
from workers.tasks import ads_fatigue

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "100")), deadline=None)
TODAY = date(2026, 11, 29)
LEVELS: tuple[FatigueLevel, ...] = ("unknown", "ok", "watch", "tired", "critical")
DEFAULT = FatigueLimits()
REPORT = "published:ads/fatigue.json"

COUNTS = st.integers(0, 5000)
DAYS = st.builds(
    lambda creative, ago, impressions, clicks, spend, reach: DailyFigure(
        creative, TODAY - timedelta(days=ago), impressions, min(clicks, impressions), spend, reach
    ),
    st.sampled_from(("a", "b", "c")),
    st.integers(0, 25),
    COUNTS,
    st.integers(0, 400),
    st.integers(0, 30_000_000),
    COUNTS,
)
EXPORTS = st.lists(DAYS, min_size=1, max_size=40, unique_by=lambda row: (row.creative, row.day))


WINDOW = st.tuples(st.integers(800, 1200), st.integers(0, 30), st.integers(3, 30), st.integers(900, 6000))


@st.composite
def weeks(draw: st.DrawFn) -> list[DailyFigure]:
    """Three weeks of one creative that is neither new nor off air, about where the limits lie: the days of
    the last week are alike, and so are those before it."""
    now, before = draw(WINDOW), draw(WINDOW)
    return [
        DailyFigure("a", TODAY - timedelta(days=ago), impressions, clicks, spend * 1_000_000, reach)
        for ago in range(21)
        for impressions, clicks, spend, reach in [now if ago < 7 else before]
    ]


def level(rows: list[DailyFigure], limits: FatigueLimits = DEFAULT) -> int:
    (found,) = judged(rows, limits)
    return LEVELS.index(found.level)


def this_week(rows: list[DailyFigure], change: Callable[[DailyFigure], DailyFigure]) -> list[DailyFigure]:
    begins = TODAY - timedelta(days=6)
    return [change(row) if row.day >= begins else row for row in rows]


@few
@given(EXPORTS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_nothing(rows: list[DailyFigure], chance: Any) -> None:
    other = list(rows)
    chance.shuffle(other)
    assert judged(rows, DEFAULT) == judged(other, DEFAULT)


@few
@given(EXPORTS)
def test_each_creative_is_judged_once_and_by_itself(rows: list[DailyFigure]) -> None:
    found = judged(rows, DEFAULT)
    names = [each.creative for each in found]
    assert sorted(names) == sorted({row.creative for row in rows})
    today = max(row.day for row in rows)
    for each in found:
        # What is today says the export, so one day of another creative has to stand there.
        alone = [row for row in rows if row.creative == each.creative]
        anchor = DailyFigure("anchor", today, 0, 0, 0, 0)
        assert each in judged([*alone, anchor], DEFAULT)


@few
@given(weeks(), st.integers(0, 1500))
def test_fewer_people_make_nothing_fresher(rows: list[DailyFigure], fewer: int) -> None:
    worse = this_week(rows, lambda row: row._replace(reach_7d=max(1, row.reach_7d - fewer)))
    assert level(worse) >= level(rows)


@few
@given(weeks(), st.floats(1.0, 4.0))
def test_dearer_impressions_make_nothing_fresher(rows: list[DailyFigure], times: float) -> None:
    worse = this_week(rows, lambda row: row._replace(spend_micros=round(row.spend_micros * times)))
    assert level(worse) >= level(rows)


@few
@given(weeks(), st.floats(0.0, 1.0))
def test_fewer_clicks_make_nothing_fresher(rows: list[DailyFigure], share: float) -> None:
    worse = this_week(rows, lambda row: row._replace(clicks=int(row.clicks * share)))
    assert level(worse) >= level(rows)


@few
@given(weeks(), st.floats(1.0, 3.0))
def test_stricter_limits_make_nothing_fresher(rows: list[DailyFigure], times: float) -> None:
    lax = DEFAULT
    strict = FatigueLimits(
        frequency=lax.frequency / times,
        click_rate_fall=lax.click_rate_fall / times,
        cpm_rise=lax.cpm_rise / times,
        click_cost=max(1.01, lax.click_cost / times),
    )
    assert level(rows, strict) >= level(rows, lax)


@pytest.mark.parametrize("scale", [1, 3])
@few
@given(rows=EXPORTS)
def test_the_currency_is_nothing(rows: list[DailyFigure], scale: int) -> None:
    """Another unit of money: the same levels, as long as it is one unit throughout."""
    other = [row._replace(spend_micros=row.spend_micros * scale) for row in rows]
    assert [(e.creative, e.level, e.signs) for e in judged(other, DEFAULT)] == [
        (e.creative, e.level, e.signs) for e in judged(rows, DEFAULT)
    ]


def worn(row: DailyFigure) -> DailyFigure:
    if row.day > TODAY - timedelta(days=7):
        return row._replace(reach_7d=900, clicks=0, spend_micros=20_000_000)
    return row._replace(clicks=20, spend_micros=5_000_000)


def lines(rows: list[DailyFigure]) -> Iterator[str]:
    yield ",".join(COLUMNS)
    for row in rows:
        spend = f"{row.spend_micros / 1e6:.6f}"
        cells = (row.creative, row.day, row.impressions, row.clicks, spend, row.reach_7d)
        yield ",".join(map(str, cells))


@settings(few, max_examples=15)
@given(st.lists(weeks(), min_size=1, max_size=4))
def test_every_critical_one_is_shown_to_a_person_and_no_other(several: list[list[DailyFigure]]) -> None:
    rows = [row._replace(creative=f"c{n}") for n, each in enumerate(several) for row in each]
    # Every other one is worn by every measure.
    rows = [row if int(row.creative[1:]) % 2 else worn(row) for row in rows]
    with TemporaryDirectory() as folder:
        (Path(folder) / "conductor.toml").write_text(
            '[roots.data]\npath = "data"\n[stores.ads]\nurl = "sqlite:data/ads.db"\n'
        )
        bench = Bench(Path(folder))
        file = bench.inputs / "figures.csv"
        file.write_text("\n".join(lines(rows)) + "\n")
        ctx = bench.context(reads=[file], writes=[REPORT])
        result = ads_fatigue.run({}, ctx)
        critical = {each.creative for each in judged(rows, DEFAULT) if each.level == "critical"}
        asked = {item.words.split()[1].rstrip("?") for item in ctx.review.items} if ctx.review else set()
        assert asked == critical >= {f"c{n}" for n in range(0, len(several), 2)}
        assert result["asked"] == len(critical)
