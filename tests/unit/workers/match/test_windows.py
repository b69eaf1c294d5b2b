"""Windows around events: whole pictures, merged where they meet, the best where a reel would be too long."""

from __future__ import annotations

from workers.match.rules import Event
from workers.match.windows import MatchPart, ReelPlan, ShownWindow, windows_of

HOW = ReelPlan(fps=25, before_s=2, after_s=1)


def a_part(*events: Event, ends_s: float = 100.0, goal: str = "both") -> MatchPart:
    return MatchPart(events=events, ends_s=ends_s, goal=goal)  # type: ignore[arg-type]


def a_save(at_s: float, goal: str = "left", sure: float = 1.0) -> Event:
    return Event(kind="save", at_s=at_s, sure=sure, goal=goal)


def test_a_window_is_what_was_asked_to_the_picture():
    assert windows_of("goalkeeper", [a_part(a_save(10))], HOW) == [ShownWindow(part=0, first=200, frames=75)]


def test_at_both_ends_of_a_film_there_is_less():
    first, last = windows_of("goalkeeper", [a_part(a_save(0.5), a_save(99.9))], HOW)
    assert (first.first, first.frames) == (0, 38)
    assert (last.first, last.first + last.frames) == (2447, 2500)


def test_windows_that_meet_are_one_and_those_of_two_films_are_not():
    parts = [a_part(a_save(10), a_save(12)), a_part(a_save(12))]
    assert windows_of("goalkeeper", parts, HOW) == [
        ShownWindow(part=0, first=200, frames=125),
        ShownWindow(part=1, first=250, frames=75),
    ]


def test_the_keeper_s_reel_has_what_came_at_the_keeper_s_goal():
    part = a_part(a_save(10, "left"), a_save(50, "right"), goal="left")
    assert [w.first for w in windows_of("goalkeeper", [part], HOW)] == [200]
    assert len(windows_of("highlights", [part], HOW)) == 2


def test_kick_offs_are_in_no_reel_and_a_film_that_is_missing_in_none():
    kick_off = Event(kind="kick_off", at_s=5, sure=1.0)
    assert windows_of("highlights", [None, a_part(kick_off)], HOW) == []


def test_where_a_reel_would_be_too_long_the_goal_stays():
    goal = Event(kind="goal", at_s=80, sure=0.8, goal="right")
    part = a_part(a_save(10), a_save(30, sure=0.9), goal)
    short = ReelPlan(fps=25, before_s=2, after_s=1, longest_s=6)
    assert [w.first for w in windows_of("highlights", [part], short)] == [200, 1950]
