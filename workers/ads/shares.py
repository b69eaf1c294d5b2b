"""Whole numbers shared out by weight, so that the parts add up to the whole: no cent is lost, and no order of
adding matters. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

#: A whole, in parts per million.
WHOLE_PPM = 1_000_000
#: Money is counted in millionths of its unit.
MICROS = 1_000_000


def shared_out(whole: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`whole` among those with a weight, by largest remainder; of equal remainders the first by name.

    Weights are not negative, and one is above 0. Who gets nothing is left out.
    """
    total = sum(map(Fraction, weights.values()))
    exact = {name: whole * Fraction(weight) / total for name, weight in sorted(weights.items())}
    parts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (parts[name] - exact[name], name))
    for name in by_remainder[: whole - sum(parts.values())]:
        parts[name] += 1
    return {name: part for name, part in parts.items() if part}
