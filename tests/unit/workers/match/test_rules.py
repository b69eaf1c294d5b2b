"""What the rules find in a match that is known."""

from __future__ import annotations

import pytest
from match_scene import heard_of, plain, tracks_of

from workers.match.rules import Event, events_of
from workers.match.sound import HeardSound, Whistle
from workers.match.tracks import Tracks
from workflows.match.script import Script, first_half, second_half

SURE = 0.7
HALVES = [first_half, second_half]


def found_in(script: Script) -> list[Event]:
    return events_of(tracks_of(script), heard_of(script))


@pytest.mark.parametrize("half", HALVES)
def test_all_that_happened_is_found_when_it_did(half: object):
    script: Script = half()  # type: ignore[operator]
    found = found_in(script)

    for truth in script.truth:
        same = [e for e in found if (e.kind, e.goal) == (truth.kind, truth.goal)]
        assert min(abs(e.at_s - truth.at_s) for e in same) <= 0.3, truth
    assert len(found) - len(script.truth) == (1 if half is second_half else 0), "the ball rolled in"


def test_what_nobody_saw_end_and_what_rolled_in_after_a_whistle_are_unsure_and_nothing_else_is():
    unsure = [event for half in HALVES for event in found_in(half()) if event.sure < SURE]

    assert plain(unsure) == [("goal", "right"), ("save", "left")]
    assert unsure[1].evidence["seen"] == 0
    assert unsure[0].evidence == {"in_net": 1.0, "shot": 0.0, "cheer": 0.0, "kick_off": 0.0}


def test_a_match_without_sound_is_judged_by_what_is_seen():
    script = first_half()
    heard, silent = found_in(script), events_of(tracks_of(script), None)

    assert plain(silent) == plain(heard)
    assert all("cheer" not in e.evidence and "whistle" not in e.evidence for e in silent)
    assert all(event.sure >= SURE for event in silent)


def test_a_pass_to_the_own_keeper_and_a_ball_beside_the_goal_are_neither_goal_nor_save():
    script = Script()
    script.kick_off()
    script.move(20, 34)
    script.move(3, 34)
    script.rest(1.0)
    script.move(-2, 50)
    script.rest(1.0)

    assert plain(found_in(script)) == [("kick_off", "")]


def test_a_goal_takes_its_shot_and_is_no_save_as_well():
    script = Script()
    script.kick_off()
    script.move(85, 34)
    script.goal("right", 2.0)

    assert plain(found_in(script)) == [("kick_off", ""), ("shot", "right"), ("goal", "right")]


def test_nothing_seen_is_nothing_found():
    times = [number / 10 for number in range(100)]
    assert events_of(Tracks(times, [None] * 100, {"left": [None] * 100, "right": [None] * 100}), None) == []
    assert events_of(Tracks([], [], {"left": [], "right": []}), HeardSound([Whistle(0, 1)], [])) == []
