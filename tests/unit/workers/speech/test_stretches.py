"""Where somebody speaks: found by loudness, whatever lies behind it."""

from __future__ import annotations

import numpy as np
import pytest

from workers.speech.stretches import levels, spoken

RATE = 16_000


def sound(parts: list[tuple[float, float]], background: float) -> np.ndarray:
    """(seconds, loudness) one after the other, over a noise of its own; seeded."""
    draw = np.random.default_rng(7)
    said = [loudness * np.sin(np.arange(round(lasts_s * RATE)) / 5) for lasts_s, loudness in parts]
    whole = np.concatenate(said)
    return (whole + background * draw.standard_normal(len(whole))).astype(np.float32)


@pytest.mark.parametrize("background", [0.0, 0.001, 0.02])
def test_speech_is_found_between_its_pauses(background: float):
    heard = sound([(1.0, 0), (2.0, 0.3), (0.8, 0), (1.5, 0.2), (0.15, 0), (1.0, 0.3), (2.0, 0)], background)

    found = spoken(levels(heard, RATE), 20.0)

    # A pause of 0.15 s is a breath.
    assert [pytest.approx(at, abs=0.1) for stretch in found for at in stretch] == [1.0, 3.0, 3.8, 6.45]


def test_nobody_speaks_in_silence_nor_in_a_little_noise():
    assert spoken(levels(np.zeros(RATE * 5, np.float32), RATE), 20.0) == []
    assert spoken(levels(sound([(5.0, 0.0)], 0.0005), RATE), 20.0) == []
    assert spoken(levels(np.zeros(0, np.float32), RATE), 20.0) == []


def test_speech_without_a_pause_is_cut_where_it_is_quietest():
    heard = sound([(7.0, 0.4), (0.1, 0.05), (7.0, 0.4)], 0.001)

    found = spoken(levels(heard, RATE), 10.0)

    assert len(found) == 2
    assert 7.0 <= found[0].end_s <= 7.1
    assert found[1].start_s == found[0].end_s
    assert max(stretch.end_s - stretch.start_s for stretch in found) <= 10.0
