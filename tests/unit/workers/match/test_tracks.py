"""One ball of many candidates, keepers that are hidden for a moment, answers of detectors in both forms."""

from __future__ import annotations

import numpy as np
import pytest

from conductor.base.errors import BadInput
from workers.match.detector import LEAST, boxes_of, looks_of, without_doubles
from workers.match.pitch import LENGTH_M, WIDTH_M, Box
from workers.match.tracks import BallSpot, Look, Sighting, filled, followed, tracked

FPS = 10.0


def at(looks: int) -> list[float]:
    return [number / FPS for number in range(looks)]


def test_the_ball_does_not_jump_to_what_looks_more_like_one_far_away():
    looks = [[(10.0 + n, 30.0, 0.6), (90.0, 60.0, 0.9 if n else 0.1)] for n in range(5)]
    assert [spot and spot.x for spot in followed(looks, at(5))] == [10, 11, 12, 13, 14]


def test_a_ball_that_was_lost_for_long_is_found_anywhere():
    looks = [[(10.0, 30.0, 0.9)], *[[]] * 12, [(90.0, 60.0, 0.9)]]
    assert followed(looks, at(14))[-1] == BallSpot(90.0, 60.0)


def test_short_gaps_are_closed_by_the_time_they_take_and_said_to_be_and_long_ones_stay():
    ball = [BallSpot(0, 0), None, BallSpot(4, 2), *[None] * 6, BallSpot(9, 9)]
    times = [0.0, 0.1, 0.4, *(0.5 + n / FPS for n in range(7))]
    assert filled(ball, times)[:3] == [BallSpot(0, 0), BallSpot(1, 0.5, is_seen=False), BallSpot(4, 2)]
    assert filled(ball, times)[3:9] == [None] * 6


def a_person(kind: str, x: float, y: float) -> Sighting:
    return Sighting(kind, x / LENGTH_M, y / WIDTH_M, 0.9)


def test_a_keeper_who_is_hidden_for_a_moment_has_not_gone():
    looks = [
        Look(0.0, [a_person("keeper", 2, 34), a_person("player", 9, 34)]),
        Look(0.1, [a_person("player", 9, 34)]),
    ]
    tracks = tracked(looks, Box())
    assert tracks.keepers["left"][0] == pytest.approx((2, 34))
    assert tracks.keepers["left"][1] == tracks.keepers["left"][0]
    assert tracks.keepers["right"] == [None, None]


def test_of_a_detector_that_knows_no_keepers_who_stands_nearest_is_one():
    tracks = tracked([Look(0.0, [a_person("player", 9, 34), a_person("player", 4, 34)])], Box())
    assert tracks.keepers["left"] == [pytest.approx((4, 34))]


def test_a_pitch_in_a_part_of_the_picture_has_its_corners_there():
    box = Box(0.1, 0.2, 0.9, 0.8)
    assert box.metres(0.1, 0.2) == pytest.approx((0, 0))
    assert box.metres(0.9, 0.8) == pytest.approx((LENGTH_M, WIDTH_M))


def test_both_forms_of_an_answer_say_the_same():
    whole = np.array([[10, 20, 30, 60, 0.9, 1], [0, 0, 5, 5, LEAST - 0.1, 0]], np.float32)
    raw = np.zeros((4 + 2, 300), np.float32)
    raw[:4, 7], raw[5, 7] = (20, 40, 20, 40), 0.9

    assert boxes_of(whole).tolist() == boxes_of(raw).tolist() == [[10, 20, 30, 60, pytest.approx(0.9), 1]]
    with pytest.raises(BadInput, match="no scores of classes"):
        boxes_of(np.zeros((3, 9), np.float32))


def test_boxes_in_one_another_are_one_thing_if_they_are_of_one_class():
    boxes = np.array(
        [[0, 0, 10, 10, 0.5, 0], [1, 1, 11, 11, 0.9, 0], [1, 1, 11, 11, 0.4, 1], [40, 40, 50, 50, 0.3, 0]]
    )
    assert [box[4] for box in without_doubles(boxes)] == [0.9, 0.4, 0.3]


def test_looks_in_which_nothing_was_found_are_looks_all_the_same():
    rows = np.array(
        [[0, 0, 0.5, 0.5, 0.9], [0.5, 0, 0, 0, 0], [0.75, 2, 0.1, 0.1, 0.8], [0.75, 0, 0.2, 0.1, 0.8]], "<f4"
    )
    looks = looks_of(rows.tobytes())
    assert [(look.at_s, len(look.found)) for look in looks] == [(0, 1), (0.5, 0), (0.75, 2)]
    assert looks[2].found[0].kind == "player"
    with pytest.raises(BadInput, match="breaks off"):
        looks_of(rows.tobytes()[:-2])
