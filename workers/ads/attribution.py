"""Whose lead it is: credit for the creatives that it met, as parts of a million. Pure.

`last_touch`: all to the last. `position`: 40 % to the first, 40 % to the last, 20 % evenly to those between;
of two half each. `time_decay`: a touch counts half as much for each half-life that it lies back. Shares and
half-life (one week) are those of Google Ads' models of these names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from workers.ads.shares import WHOLE_PPM, shared_out

AttributionModel = Literal["last_touch", "position", "time_decay"]
HALF_LIFE_DAYS = 7.0
#: What lies back further had no part in it.
LOOKBACK_DAYS = 30.0
DAY_S = 86_400.0
EDGE, BETWEEN = 0.4, 0.2


def credits_of(
    touches: Sequence[tuple[str, float]],
    at: float,
    model: AttributionModel,
    half_life_days: float = HALF_LIFE_DAYS,
    lookback_days: float = LOOKBACK_DAYS,
) -> dict[str, int]:
    """Creative → parts of a million, which add up to one; empty where no touch lies in the window.

    `touches`: (creative, epoch seconds), in any order. `at`: when the lead got where it is; later touches do
    not count.
    """
    first = at - lookback_days * DAY_S
    seen = sorted((when, creative) for creative, when in touches if first <= when <= at)
    if not seen:
        return {}
    weights: dict[str, float] = {}
    for (_, creative), weight in zip(seen, _weights(model, seen, at, half_life_days), strict=True):
        weights[creative] = weights.get(creative, 0.0) + weight
    return shared_out(WHOLE_PPM, weights)


def _weights(
    model: AttributionModel, seen: Sequence[tuple[float, str]], at: float, half_life_days: float
) -> list[float]:
    count = len(seen)
    match model:
        case "last_touch":
            return [0.0] * (count - 1) + [1.0]
        case "position" if count <= 2:
            return [1.0] * count
        case "position":
            return [EDGE, *([BETWEEN / (count - 2)] * (count - 2)), EDGE]
        case "time_decay":
            # Against the last one, so that old touches alone do not all vanish.
            newest = seen[-1][0]
            return [2.0 ** ((when - newest) / (half_life_days * DAY_S)) for when, _ in seen]
