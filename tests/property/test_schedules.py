"""The calendar and the rule of schedules: asked in pieces they say the same, each instant once."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.base.cron import instants
from conductor.core.schedules.due import due, passed
from conductor.model.schedule import ScheduleRule

#: Half hours, a southern summer, a whole day left out, none at all.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Pacific/Apia",
    "UTC",
]
CRONS = [
    "30 2 * * *",
    "0 * * * *",
    "*/17 * * * *",
    "0,30 1-3 * * *",
    "15 */2 * * *",
    "5 0 * * 0",
    "*/20 2 * * *",
]
#: The days around each change of the clocks in these zones.
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2011, 12, 30, 10, tzinfo=UTC),
]
MOMENTS = st.builds(
    lambda change, off: int(change.timestamp()) + off,
    st.sampled_from(CHANGES),
    st.integers(-100_000, 100_000),
)


def between(cron: str, zone: str, after: float, until: float) -> list[int]:
    return list(takewhile(lambda at: at <= until, instants(cron, ZoneInfo(zone), after)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), st.lists(MOMENTS, min_size=3, max_size=3).map(sorted))
def test_asked_in_two_pieces_the_calendar_answers_as_in_one(cron: str, zone: str, cuts: list[int]) -> None:
    first, middle, last = cuts
    last = min(last, first + 200_000)
    middle = min(middle, last)
    whole = between(cron, zone, first, last)
    assert whole == between(cron, zone, first, middle) + between(cron, zone, middle, last)
    assert whole == sorted(set(whole)) and all(first < at <= last for at in whole)


#: Samoa left out a whole day: the fire of that night comes as the next one begins, and then that one's own.
@settings(max_examples=60, deadline=None)
@given(st.sampled_from([zone for zone in ZONES if zone != "Pacific/Apia"]), st.sampled_from(CHANGES))
def test_a_nightly_fire_comes_once_a_night_both_ways(zone: str, change: datetime) -> None:
    begins = change.timestamp() - 3 * 86_400
    found = between("30 2 * * *", zone, begins, begins + 6 * 86_400)
    days = [datetime.fromtimestamp(at, ZoneInfo(zone)).date() for at in found]
    assert len(days) == len(set(days)), "none twice"
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert all(20 * 3600 <= gap <= 28 * 3600 for gap in gaps), "and none left out"


RULES = st.builds(
    lambda missed, up_to, overlap, jitter: ScheduleRule(
        name="n",
        missed=missed,
        all_up_to=up_to,
        overlap="queue" if missed == "all" else overlap,
        jitter_s=jitter,
    ),
    st.sampled_from(["once", "skip", "all"]),
    st.integers(1, 4),
    st.sampled_from(["skip", "queue"]),
    st.sampled_from([0.0, 30.0, 900.0]),
)


@given(RULES, st.lists(st.tuples(st.integers(1, 4000), st.booleans(), st.booleans()), max_size=40))
def test_each_instant_is_fired_or_skipped_once_and_in_order(
    rule: ScheduleRule, looks: list[tuple[int, bool, bool]]
) -> None:
    """A leader that looks now and then, with long breaks between."""
    now, handled_to, has_waited = 1_000_000, 1_000_000 - 1_000_000 % 300, False
    begun, fates = handled_to, list[int]()
    for pause, is_busy, is_paused in looks:
        now += pause
        waiting = passed(rule, range(handled_to + 300, now + 1, 300), now)
        found = due(rule, waiting, now, is_busy=is_busy, is_paused=is_paused, has_waited=has_waited)
        if found.skip is not None:
            fates += found.skip.instants
        if found.fire and not (is_busy or is_paused):
            fates.append(found.fire[0])
            has_waited = False
        assert not (found.fire and (is_busy or is_paused))
        has_waited = has_waited or found.waits
        handled_to = fates[-1] if fates else handled_to
    assert fates == list(range(begun + 300, handled_to + 1, 300))


@given(st.integers(1, 30), st.integers(1, 10), st.integers(0, 10_000))
def test_never_more_are_made_up_for_than_was_said(count: int, up_to: int, late: int) -> None:
    rule: Any = ScheduleRule(name="n", missed="all", all_up_to=up_to, overlap="queue")
    missed = tuple(range(300, 300 * count + 1, 300))
    found = due(rule, missed, 300 * count + late)
    assert len(found.fire) == min(count, up_to) and found.fire == missed[-len(found.fire) :]
    assert (found.skip.instants if found.skip else ()) + found.fire == missed
