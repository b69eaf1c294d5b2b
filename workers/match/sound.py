"""What is heard of a match: whistles, and how loud the crowd is. Pure: samples in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Samples a second; a look at so many of them, each so far behind the one before.
RATE, WINDOW, HOP = 16_000, 1024, 512
#: A whistle's tone lies between these (Hz), is no wider than this, and has this share of all that is heard
#: above `HISS`.
LOWEST, HIGHEST, WIDE, SHARE, HISS = 1800.0, 4800.0, 120.0, 0.5, 500.0
#: Shorter ones are a squeak of a shoe; two of them closer than this are one.
SHORTEST_S, TOGETHER_S = 0.15, 0.25
#: Mean squares below this are silence: there is no tone in what a codec leaves.
SILENCE = 1e-7
#: Looks whose loudness is added up to one number.
LOUD_HOPS = 4
LOUD_S = HOP * LOUD_HOPS / RATE
#: What silence is called, in decibels below the loudest.
QUIETEST_DB = -90.0


class Whistle(NamedTuple):
    at_s: float
    seconds: float


class HeardSound(NamedTuple):
    """`loud`: decibels, one number each `LOUD_S` seconds. Both are empty where a film has no sound."""

    whistles: list[Whistle]
    loud: list[float]


class SoundListener:
    """Takes samples piece by piece (-1 to 1, one channel), and holds only what is not yet a whole look."""

    def __init__(self) -> None:
        import numpy as np

        self._rest = np.empty(0, np.float32)
        self._is_tone: list[bool] = []
        self._power: list[float] = []

    def feed(self, samples: NDArray[np.float32]) -> None:
        import numpy as np

        self._rest = np.concatenate([self._rest, samples])
        count = (len(self._rest) - WINDOW) // HOP + 1
        if count <= 0:
            return
        windows = np.lib.stride_tricks.sliding_window_view(self._rest, WINDOW)[::HOP][:count]
        power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32), axis=1)) ** 2
        self._power += (windows**2).mean(axis=1).tolist()
        self._is_tone += _tones(power, np.array(self._power[-count:])).tolist()
        self._rest = self._rest[count * HOP :]

    def heard(self) -> HeardSound:
        import math

        loud: list[float] = []
        for first in range(0, len(self._power), LOUD_HOPS):
            part = self._power[first : first + LOUD_HOPS]
            mean = sum(part) / len(part)
            loud.append(round(max(QUIETEST_DB, 10 * math.log10(mean)) if mean > 0 else QUIETEST_DB, 1))
        return HeardSound(whistles_of(self._is_tone), loud)


def _tones(power: NDArray[np.float32], loud: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of each look: whether one narrow tone is most of what is heard."""
    import numpy as np

    hertz = RATE / WINDOW
    low, high, hiss, reach = (round(each / hertz) for each in (LOWEST, HIGHEST, HISS, WIDE))
    peaks = power[:, low:high].argmax(axis=1) + low
    sums = np.concatenate([np.zeros((len(power), 1)), power.cumsum(axis=1, dtype=np.float64)], axis=1)
    rows = np.arange(len(power))
    tone = sums[rows, peaks + reach + 1] - sums[rows, peaks - reach]
    return (tone > SHARE * (sums[:, -1] - sums[:, hiss])) & (loud > SILENCE)


def whistles_of(is_tone: Sequence[bool]) -> list[Whistle]:
    """Runs of looks with a tone, long enough."""
    runs: list[list[int]] = []
    for number, tone in enumerate(is_tone):
        if not tone:
            continue
        if runs and (number - runs[-1][1]) * HOP / RATE <= TOGETHER_S:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [
        Whistle(round(first * HOP / RATE, 2), round(seconds, 2))
        for first, last in runs
        if (seconds := (last - first + 1) * HOP / RATE) >= SHORTEST_S
    ]
