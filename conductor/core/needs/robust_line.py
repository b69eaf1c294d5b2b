"""A line through what jobs of several sizes took, which outliers do not turn. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from conductor.core.needs.samples import quantile, usual

Point = tuple[float, float]

#: More sizes than this are taken together by neighbours: the slopes of all pairs are looked at.
GROUPS = 32


class RobustLine(NamedTuple):
    base: float
    slope: float

    def at(self, x: float) -> float:
        return self.base + self.slope * x


def middle_line(points: Sequence[Point]) -> RobustLine:
    """The median of all slopes, never falling (Theil and Sen): 29 % of wild points do not turn it.

    From one size on: in proportion to it.
    """
    slopes = [(d - b) / (c - a) for i, (a, b) in enumerate(points) for c, d in points[i + 1 :] if c != a]
    if slopes:
        slope = max(0.0, middle(slopes))
        base = middle([b - slope * a for a, b in points])
        if base >= 0:
            return RobustLine(base, slope)
    # A job of no size does not take less than nothing.
    return RobustLine(0.0, middle([b / a for a, b in points]))


def usual_line(points: Iterable[Point]) -> RobustLine:
    """Through the medians of the sizes, raised by what is usual beside it: sums over many jobs come out
    right.
    """
    by_size: dict[float, list[float]] = {}
    for size, value in points:
        by_size.setdefault(size, []).append(value)
    medians = grouped(sorted((size, quantile(values, 0.5)) for size, values in by_size.items()))
    line = middle_line(medians)
    beside = [v / line.at(size) for size, values in by_size.items() if line.at(size) > 0 for v in values]
    share = usual(beside) if beside else 1.0
    return RobustLine(line.base * share, line.slope * share)


def grouped(points: Sequence[Point]) -> list[Point]:
    """At most `GROUPS` points, each the middle of its neighbours."""
    each = -(-len(points) // GROUPS)
    parts = [points[i : i + each] for i in range(0, len(points), each)]
    return [(middle([x for x, _ in part]), middle([y for _, y in part])) for part in parts]


def middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
