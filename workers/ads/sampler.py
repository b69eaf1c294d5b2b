"""Which creative to show: Thompson sampling over Beta posteriors. Pure, and the same for the same seed.

A creative's chance to win a lead is Beta(1 + won, 1 + lost) (W. R. Thompson 1933; D. Russo et al.: A Tutorial
on Thompson Sampling, 2018, ch. 3), where won and lost are the credit that it has of leads that are over. The
draws rest on `random.random()` alone, whose sequence Python keeps from version to version.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from workers.ads.shares import WHOLE_PPM

#: So many steps of the integral: more change the fourth digit.
STEPS = 2000
#: Nothing lies further from the mean, in standard deviations.
FAR = 12


class Arm(NamedTuple):
    """A creative, and the credit that it has of leads that are over, in parts of a million."""

    creative: str
    won_ppm: int
    lost_ppm: int

    @property
    def alpha(self) -> float:
        return 1.0 + self.won_ppm / WHOLE_PPM

    @property
    def beta(self) -> float:
        return 1.0 + self.lost_ppm / WHOLE_PPM

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)


def shares_of(arms: Sequence[Arm], seed: int, draws: int) -> dict[str, float]:
    """Creative → share of the draws in which it is the best: so much of the budget is its own.

    Each arm has a stream of its own, so that another one beside it changes none of its draws.
    """
    streams = [(arm, random.Random(f"{seed}/{arm.creative}")) for arm in sorted(arms)]
    wins = dict.fromkeys((arm.creative for arm in sorted(arms)), 0)
    for _ in range(draws if arms else 0):
        drawn = [(beta_draw(stream, arm.alpha, arm.beta), arm.creative) for arm, stream in streams]
        wins[max(drawn)[1]] += 1
    return {creative: count / draws for creative, count in wins.items()}


def beta_draw(stream: random.Random, alpha: float, beta: float) -> float:
    one = _gamma(stream, alpha)
    return one / (one + _gamma(stream, beta))


def _gamma(stream: random.Random, shape: float) -> float:
    """Of scale 1, for a shape of at least 1 (G. Marsaglia, W. W. Tsang: ACM TOMS 26, 2000)."""
    d = shape - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        x = math.sqrt(-2 * math.log(1 - stream.random())) * math.cos(2 * math.pi * stream.random())
        v = (1 + c * x) ** 3
        if v > 0 and math.log(1 - stream.random()) < 0.5 * x * x + d * (1 - v + math.log(v)):
            return d * v


def chance_above(arm: Arm, rate: float) -> float:
    """How likely its chance to win is above `rate` (0 to 1): the tail of its posterior, by midpoints."""
    a, b = arm.alpha, arm.beta
    spread = math.sqrt(a * b / (a + b + 1)) / (a + b)
    step = (min(1.0, arm.mean + FAR * spread) - rate) / STEPS
    if step <= 0:
        return 0.0
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    points = (rate + (n + 0.5) * step for n in range(STEPS))
    inside = (x for x in points if 0 < x < 1)
    tail = sum(math.exp(scale + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)) for x in inside)
    return min(1.0, tail * step)


def winners(arms: Sequence[Arm], least_leads: float, sure: float) -> list[str]:
    """Creatives that are better than all together, as sure as that, by name. `least_leads`: of fewer leads
    that are over nothing is said."""
    won, over = sum(arm.won_ppm for arm in arms), sum(arm.won_ppm + arm.lost_ppm for arm in arms)
    if not over:
        return []
    enough = [arm for arm in sorted(arms) if arm.won_ppm + arm.lost_ppm >= least_leads * WHOLE_PPM]
    return [arm.creative for arm in enough if chance_above(arm, won / over) >= sure]
