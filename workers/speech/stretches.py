"""Where somebody speaks: stretches of sound between pauses, found by loudness alone.

Recognisers take half a minute at a time, and a caption that begins where its stretch begins is in time
whatever the recogniser knows of times. Pure but for numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Levels = NDArray[np.float64]

#: One level for so much sound.
FRAME_S = 0.02
#: Quieter than this, in dB of full scale, nobody is understood.
SILENT_DB = -55.0
#: Speech stands out of what is behind it by so much at least, in dB.
OUT_BY_DB = 8.0
#: Where between the background's level and that of the loudest speech begins.
SHARE = 0.3
#: Less is a breath between two words.
PAUSE_S = 0.3
#: Less is a click.
LEAST_S = 0.1
#: So much is taken along at both ends: words begin and end softly.
MARGIN_S = 0.06


class SpokenStretch(NamedTuple):
    """Seconds from the beginning of the sound."""

    start_s: float
    end_s: float


def levels(samples: Samples, rate: int) -> Levels:
    """One a frame, in dB of full scale (−120 for digital silence). What is left over at the end is one."""
    import numpy as np

    size = round(rate * FRAME_S)
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    return 10 * np.log10(np.mean(np.square(padded, dtype=np.float64), axis=1) + 1e-12)


def spoken(levels: Levels, most_s: float) -> list[SpokenStretch]:
    """In order, none longer than `most_s`, none touching its neighbour but where a long one had to be cut."""
    import numpy as np

    if not len(levels):
        return []
    background, loudest = np.percentile(levels, 10), np.percentile(levels, 98)
    if loudest < SILENT_DB:
        return []
    threshold = background + max(OUT_BY_DB, SHARE * (loudest - background))
    # Sound without a pause has no background of its own: all of it may be speech.
    is_loud = levels >= (SILENT_DB if threshold >= loudest else max(threshold, SILENT_DB))
    found = _joined(_runs(is_loud))
    return [piece for run in found for piece in _cut(run, levels, most_s, len(levels))]


def _runs(is_loud: NDArray[np.bool_]) -> list[tuple[int, int]]:
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_loud, [False])).astype(np.int8)))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined = list[tuple[int, int]]()
    for first, end in runs:
        if joined and (first - joined[-1][1]) * FRAME_S < PAUSE_S:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((first, end))
    return [(first, end) for first, end in joined if (end - first) * FRAME_S >= LEAST_S]


def _cut(run: tuple[int, int], levels: Levels, most_s: float, count: int) -> list[SpokenStretch]:
    """A long one at the quietest place of the second half of what is still allowed."""
    margin, most = round(MARGIN_S / FRAME_S), max(2, int(most_s / FRAME_S))
    first, end = max(0, run[0] - margin), min(count, run[1] + margin)
    pieces = list[SpokenStretch]()
    while end - first > most:
        half = first + most // 2
        at = half + int(levels[half : first + most].argmin())
        pieces.append(SpokenStretch(round(first * FRAME_S, 3), round(at * FRAME_S, 3)))
        first = at
    return [*pieces, SpokenStretch(round(first * FRAME_S, 3), round(end * FRAME_S, 3))]
