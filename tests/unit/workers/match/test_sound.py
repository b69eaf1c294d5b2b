"""Whistles are told from a crowd, from speech-like tones and from silence, however the samples come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.match.sound import QUIETEST_DB, RATE, HeardSound, SoundListener


def tone(hertz: float, seconds: float = 0.5, level: float = 0.2) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def crowd(seconds: float, level: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(3).standard_normal(int(RATE * seconds)).astype(np.float32)
    return level * np.convolve(noise, np.full(8, 1 / 8, np.float32), "same")


def heard(samples: np.ndarray, piece: int = 4000) -> HeardSound:
    listener = SoundListener()
    for first in range(0, len(samples), piece):
        listener.feed(samples[first : first + piece])
    return listener.heard()


def with_whistle(at_s: float, hertz: float = 2900.0) -> np.ndarray:
    sound = crowd(3.0)
    whistle = tone(hertz)
    sound[int(at_s * RATE) : int(at_s * RATE) + len(whistle)] += whistle
    return sound


@pytest.mark.parametrize("hertz", [2200.0, 2900.0, 4200.0])
def test_a_whistle_in_a_crowd_is_heard_when_it_is(hertz: float):
    (whistle,) = heard(with_whistle(1.0, hertz)).whistles
    assert abs(whistle.at_s - 1.0) < 0.07 and abs(whistle.seconds - 0.5) < 0.1


@pytest.mark.parametrize(
    "sound",
    [
        crowd(3.0),
        np.zeros(RATE, np.float32),
        tone(440.0),
        tone(2900.0, seconds=0.1),
        tone(2900.0, level=1e-5),
    ],
    ids=["crowd", "silence", "a low tone", "a squeak", "what a codec leaves"],
)
def test_what_is_no_whistle_is_none(sound: np.ndarray):
    assert heard(np.concatenate([crowd(0.5), sound])).whistles == []


def test_loudness_is_in_decibels_and_silence_is_the_quietest():
    assert heard(np.zeros(RATE, np.float32)).loud[0] == QUIETEST_DB
    quiet, loud = (heard(crowd(1.0, level)).loud[2] for level in (0.05, 0.5))
    assert loud - quiet == pytest.approx(20, abs=0.3)
    assert heard(np.zeros(10, np.float32)).loud == []


@settings(deadline=None, max_examples=20)
@given(st.integers(300, 9000))
def test_in_whatever_pieces_it_comes_the_same_is_heard(piece: int):
    sound = with_whistle(0.4)[: RATE * 3 // 2]
    assert heard(sound, piece) == heard(sound)
