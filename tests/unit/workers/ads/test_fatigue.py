"""Worn-out creatives: by hand-made weeks with a known answer, and files of figures with faults."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from workers.ads.fatigue import FatigueLimits, in_words, judged, z_of
from workers.ads.figures import BadFigures, DailyFigure, latest, read_figures

TODAY = date(2026, 11, 29)
HEADING = "creative,day,impressions,clicks,spend,reach_7d"


def weeks(creative: str, before: tuple[int, int, float], now: tuple[int, int, float], reach: int):
    """21 days: (impressions, clicks, spend) of each day before, and of each of the last seven."""
    for ago in range(21):
        impressions, clicks, spend = now if ago < 7 else before
        day = TODAY - timedelta(days=ago)
        yield DailyFigure(creative, day, impressions, clicks, round(spend * 1e6), reach)


@pytest.mark.parametrize(
    ("now", "reach", "level", "signs"),
    [
        ((1000, 20, 10.0), 5000, "ok", ()),
        ((1000, 20, 10.0), 2000, "watch", ("frequency",)),
        ((1000, 14, 10.0), 2000, "tired", ("frequency", "click_rate")),
        ((1000, 14, 13.0), 2000, "critical", ("frequency", "click_rate", "cpm")),
        # Twice the cost of a click, and seen too often.
        ((1000, 9, 10.0), 2000, "critical", ("frequency", "click_rate")),
        # Twice the cost of a click among many people: something else is wrong with it.
        ((1000, 9, 10.0), 5000, "watch", ("click_rate",)),
        ((1000, 20, 13.0), 5000, "watch", ("cpm",)),
        # Fewer clicks by a quarter, but of so few that chance explains it.
        ((150, 2, 1.5), 1000, "ok", ()),
        ((100, 2, 1.0), 500, "unknown", ()),
        ((1000, 0, 0.0), 0, "watch", ("click_rate",)),
    ],
)
def test_levels_follow_from_their_signs(
    now: tuple[int, int, float], reach: int, level: str, signs: tuple[str, ...]
):
    (found,) = judged(weeks("a", (1000, 20, 10.0), now, reach), FatigueLimits())
    assert (found.level, found.signs) == (level, signs)
    assert in_words(found) or level == "unknown"


def test_the_worst_comes_first_and_what_is_off_air_is_not_judged():
    tired = weeks("tired", (1000, 20, 10.0), (1000, 9, 14.0), 1500)
    worse = weeks("worse", (1000, 20, 10.0), (1000, 9, 14.0), 1000)
    fine = weeks("fine", (1000, 20, 10.0), (1000, 20, 10.0), 5000)
    gone = [row for row in weeks("gone", (1000, 20, 10.0), (1, 1, 1.0), 1) if row.day < TODAY - timedelta(6)]
    found = judged([*fine, *gone, *tired, *worse], FatigueLimits())
    assert [each.creative for each in found] == ["worse", "tired", "fine", "gone"]
    assert judged([], FatigueLimits()) == []


def test_z_is_the_one_of_the_books():
    # 200 of 1000 against 250 of 1000: pooled 0.225, standard error 0.018675.
    assert z_of(200, 1000, 250, 1000) == pytest.approx(-2.6774, abs=1e-4)
    assert z_of(0, 10, 0, 10) == 0 == z_of(10, 10, 10, 10)


def test_figures_are_read_by_their_heading_and_the_later_word_stands():
    text = [
        "\ufeffDay,Creative,note,impressions,clicks,spend,reach_7d\n",
        '2026-11-28,"a, b",x,10,1,0.5,9\n',
        "\n",
        '2026-11-28,"a, b",y,12,2,0.75,9\n',
    ]
    rows = latest(read_figures(text, "f.csv"))
    assert list(rows.values()) == [DailyFigure("a, b", date(2026, 11, 28), 12, 2, 750_000, 9)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,2026-11-28,10,11,0,1", "f.csv:2: 11 clicks of 10 impressions"),
        ("a,28.11.2026,10,1,0,1", "f.csv:2: day '28.11.2026' is no date like 2026-11-30"),
        ("a,2026-11-28,-1,1,0,1", "impressions '-1' is no whole number"),
        ("a,2026-11-28,1e3,1,0,1", "impressions '1e3' is no whole number"),
        ("a,2026-11-28,99999999999999,1,0,1", "is no whole number"),
        ("a,2026-11-28,²,1,0,1", "is no whole number"),
        ("a,2026-11-28,10,1,nan,1", "spend 'nan' is no amount"),
        ("a,2026-11-28,10,1,inf,1", "spend 'inf' is no amount"),
        ("a,2026-11-28,10,1,-2,1", "spend '-2' is no amount"),
        (",2026-11-28,10,1,0,1", "creative is to be a name"),
        ("a\x1b[2J,2026-11-28,10,1,0,1", "creative is to be a name"),
        ("a,2026-11-28,10,1,0", "5 cells, its heading has 6"),
        ('"a,2026-11-28,10,1,0,1', "unexpected end of data"),
    ],
)
def test_a_fault_is_named_with_its_line(row: str, words: str):
    with pytest.raises(BadFigures, match=words.replace("[", r"\[").replace(".", r"\.")):
        list(read_figures([HEADING + "\n", row + "\n"], "f.csv"))


def test_a_heading_that_lacks_a_column_says_which():
    with pytest.raises(BadFigures, match="its heading lacks spend, reach_7d"):
        list(read_figures(["creative,day,impressions,clicks\n"], "f.csv"))
    with pytest.raises(BadFigures, match="no heading"):
        list(read_figures([], "f.csv"))
