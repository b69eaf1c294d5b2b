"""What must not change which events of a match are found, and which pictures are shown of them."""

from __future__ import annotations

import os
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from match_scene import FPS, heard_of, mirrored, plain, tracks_of
from msgspec.structs import replace

from workers.match.rules import Event, Evidence, events_of, sure
from workers.match.tracks import Tracks
from workers.match.windows import TOGETHER_S, MatchPart, ReelPlan, windows_of
from workflows.match.script import Script

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")), deadline=None)

GAMES = st.lists(
    st.sampled_from(["save left", "save right", "goal left", "goal right", "miss left", "pass", "kick_off"]),
    min_size=1,
    max_size=6,
)


def game(plays: list[str]) -> Script:
    script = Script()
    script.kick_off()
    for play in plays:
        what, _, goal = play.partition(" ")
        if what == "pass":
            script.move(60, 20)
        elif what == "kick_off":
            script.kick_off()
        else:
            script.move(20 if goal == "left" else 85, 30)
            {"save": script.save, "goal": script.goal, "miss": script.miss}[what](
                goal, 7.0 if what == "miss" else 1.5
            )
    script.rest(1.0)
    return script


@few
@given(GAMES)
def test_whatever_is_played_is_found_and_nothing_else(plays: list[str]):
    script = game(plays)
    known = sorted((t.at_s, t.kind, t.goal) for t in script.truth)
    found = events_of(tracks_of(script), heard_of(script))

    assert sorted(plain(found)) == sorted((kind, goal) for _, kind, goal in known)
    assert all(0 <= event.sure <= 1 and event.at_s >= 0 for event in found)
    assert [e.at_s for e in found] == sorted(e.at_s for e in found)


@few
@given(GAMES)
def test_seen_from_the_other_side_it_is_the_same_match(plays: list[str]):
    script = game(plays)
    other = {"left": "right", "right": "left", "": ""}
    here, there = (
        events_of(tracks_of(script), heard_of(script)),
        events_of(mirrored(tracks_of(script)), heard_of(script)),
    )

    assert [replace(e, goal=other[e.goal], sure=0, evidence={}) for e in there] == [
        replace(e, sure=0, evidence={}) for e in here
    ]


@few
@given(GAMES, st.integers(1, 50))
def test_a_film_that_begins_later_or_earlier_has_the_same_events_then(plays: list[str], looks: int):
    script = game(plays)
    tracks = tracks_of(script)
    later = Tracks(
        [number / FPS for number in range(looks + len(tracks.times))],
        [tracks.ball[0]] * looks + tracks.ball,
        {goal: [places[0]] * looks + places for goal, places in tracks.keepers.items()},
    )
    here, there = events_of(tracks, None), events_of(later, None)

    assert plain(here) == plain(there)
    for a, b in zip(here, there, strict=True):
        assert abs(b.at_s - a.at_s - looks / FPS) < 0.011


@few
@given(GAMES, st.floats(0, 0.15))
def test_places_that_are_known_a_little_worse_change_no_event(plays: list[str], noise: float):
    script = game(plays)
    assert plain(events_of(tracks_of(script, noise), heard_of(script))) == plain(
        events_of(tracks_of(script), heard_of(script))
    )


WEIGHED = st.tuples(st.floats(0.01, 1), st.one_of(st.none(), st.floats(0, 1)))


@few
@given(st.dictionaries(st.text(max_size=3), WEIGHED, max_size=5), st.floats(0, 1))
def test_more_evidence_never_makes_it_less_sure(evidence: Evidence, more: float):
    before = sure(evidence)
    assert 0 <= before <= 1
    for name, (weight, value) in evidence.items():
        if value is not None:
            assert sure({**evidence, name: (weight, max(value, more))}) >= before


@few
@given(
    st.lists(st.floats(0, 99), max_size=12),
    st.floats(0, 5),
    st.floats(0, 5),
    st.sampled_from([24.0, 25.0, 30_000 / 1001, 50.0]),
    st.floats(1, 60),
)
def test_windows_are_in_order_apart_within_the_film_and_no_longer_than_allowed(
    times: list[float], before: float, after: float, fps: float, longest: float
):
    how = ReelPlan(fps=fps, before_s=before, after_s=after, longest_s=longest)
    saves = tuple(Event(kind="save", at_s=t, sure=1.0, goal="left") for t in times)
    part = MatchPart(events=saves, ends_s=100.0)
    windows = windows_of("goalkeeper", [part], how)

    assert all(w.frames >= 1 and w.first >= 0 and w.first + w.frames <= 100 * fps + 1 for w in windows)
    assert all(a.first + a.frames < b.first for a, b in pairwise(windows))
    assert sum(w.frames for w in windows) <= longest * fps
    # Windows that lie near each other take what is between them, too.
    if longest >= sum(min(t, before) + after + TOGETHER_S + 2 / fps for t in times):
        for t in times:
            assert any(w.first - 1e-5 <= t * fps < w.first + w.frames + 1 for w in windows)
