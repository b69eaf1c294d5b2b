"""Clock times of a report, in nights that have one hour more or less too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from conductor.base.moments import moment_of
from conductor.views.night.clock import NightClock, host_clock

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def clock(since: float, until: float) -> NightClock:
    return NightClock(host_clock(since, until), since, until)


@pytest.mark.usefixtures("berlin")
def test_in_the_night_that_has_an_hour_twice_each_is_told_apart() -> None:
    since, until = at("2026-10-24T18:00"), at("2026-10-25T08:00")
    found = clock(since, until)

    assert until - since == 15 * 3600
    assert found.time(at("2026-10-25T02:30")) == "02:30 CEST"
    assert found.time(at("2026-10-25T02:30", fold=1)) == "02:30 CET"
    assert found.time(since) == "18:00 CEST" and found.time(until) == "08:00 CET"
    assert found.exact(since) == "2026-10-24T18:00:00+02:00"
    assert moment_of(found.exact(since), until) == since


@pytest.mark.usefixtures("berlin")
def test_in_the_night_that_is_short_of_an_hour_the_clock_jumps() -> None:
    since, until = at("2026-03-28T18:00"), at("2026-03-29T08:00")
    found = clock(since, until)

    assert until - since == 13 * 3600
    assert [found.time(at("2026-03-29T03:00") + n) for n in (-1, 0)] == ["01:59 CET", "03:00 CEST"]


@pytest.mark.usefixtures("berlin")
def test_in_any_other_night_a_time_is_a_time_and_of_another_day_it_has_the_day() -> None:
    since = at("2026-11-29T18:00")
    found = clock(since, since + 14 * 3600)

    assert found.time(since + 3600) == "19:00"
    assert found.time(since - 3600) == "Sun 29 Nov 17:00"
    assert found.day(since) == "Sun 29 Nov 2026, 18:00 CET"
