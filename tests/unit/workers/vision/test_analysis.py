"""Scenes and windows from scores: numbers in, numbers out."""

from __future__ import annotations

import pytest

from workers.vision.analysis import Scene, Score, Second, best_windows, by_second, scenes_of


def a_second(t: int, score: float) -> Second:
    return Second(t=t, score=score, motion=score, change=0.0)


def test_samples_are_gathered_by_second_with_mean_motion_and_peak_change():
    scores = [Score(0.0, 0.0, 0.0), Score(0.2, 0.2, 0.9), Score(0.4, 0.4, 0.1)]
    assert by_second(scores, fps=2) == (
        Second(t=0, score=0.1, motion=0.1, change=0.9),
        Second(t=1, score=0.4, motion=0.4, change=0.1),
    )


def test_a_sudden_change_of_colours_begins_a_scene():
    changes = [0, 0.02, 0.01, 0.8, 0.02, 0.03]
    scores = [Score(c, c, c) for c in changes]
    assert scenes_of(scores, fps=4) == (Scene(t=0.75, change=0.8),)


def test_flicker_is_no_scene_change():
    scores = [Score(0.5, 0.5, 0.5)] * 8
    assert scenes_of(scores, fps=4) == ()


def test_two_changes_in_a_blink_are_one_scene():
    changes = [0.0] * 8 + [0.5, 0.7] + [0.0] * 8
    found = scenes_of([Score(c, c, c) for c in changes], fps=8)
    assert [s.t for s in found] == [1.0]


def test_a_model_that_measures_no_change_finds_no_scenes():
    assert scenes_of([Score(0.9)] * 4, fps=1) == ()


def test_the_best_window_covers_the_liveliest_seconds():
    seconds = [a_second(t, score) for t, score in enumerate([0.1, 0.2, 0.8, 0.9, 0.1])]
    best = best_windows(seconds, (), duration_s=5, wanted_s=2)[0]
    assert (best.start_s, best.duration_s, best.score) == (2.0, 2.0, 0.85)


def test_a_window_across_a_scene_change_loses_to_a_calmer_whole_one():
    seconds = [a_second(t, score) for t, score in enumerate([0.5, 0.5, 0.6, 0.6])]
    best = best_windows(seconds, [Scene(t=3.0, change=0.9)], duration_s=4, wanted_s=2)[0]
    assert best.start_s == 1.0


def test_a_window_may_begin_right_at_a_scene_change():
    seconds = [a_second(t, score) for t, score in enumerate([0.1, 0.5, 0.9, 0.9])]
    best = best_windows(seconds, [Scene(t=1.6, change=0.9)], duration_s=4, wanted_s=2.4)[0]
    assert best.start_s == 1.6


def test_windows_do_not_overlap_and_come_best_first():
    seconds = [a_second(t, score) for t, score in enumerate([0.9, 0.9, 0.1, 0.1, 0.8, 0.8])]
    windows = best_windows(seconds, (), duration_s=6, wanted_s=2)
    assert [w.start_s for w in windows] == [0.0, 4.0, 2.0]


def test_a_clip_shorter_than_the_window_is_taken_whole():
    windows = best_windows([a_second(0, 0.5), a_second(1, 0.5)], (), duration_s=1.4, wanted_s=4)
    assert [(w.start_s, w.duration_s) for w in windows] == [(0.0, 1.4)]
    assert windows[0].score == pytest.approx(0.5)
