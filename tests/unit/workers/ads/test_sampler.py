"""The sampler: draws of the right distribution, the same for a seed, and winners that are winners."""

from __future__ import annotations

import math
import random
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ads.sampler import Arm, beta_draw, chance_above, shares_of, winners
from workers.ads.shares import WHOLE_PPM


def arm(creative: str, won: float, lost: float) -> Arm:
    return Arm(creative, round(won * WHOLE_PPM), round(lost * WHOLE_PPM))


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.5, 3.25), (30.0, 5.0), (400.0, 600.0)])
def test_draws_have_mean_and_variance_of_their_beta(alpha: float, beta: float):
    stream = random.Random(1)
    drawn = [beta_draw(stream, alpha, beta) for _ in range(20_000)]
    total = alpha + beta
    assert fmean(drawn) == pytest.approx(alpha / total, rel=0.02)
    assert pvariance(drawn) == pytest.approx(alpha * beta / total**2 / (total + 1), rel=0.05)


def test_the_same_seed_gives_the_same_shares_and_another_one_others():
    arms = [arm("a", 3, 9), arm("b", 5, 7), arm("c", 0, 0)]
    assert shares_of(arms, 7, 500) == shares_of(arms[::-1], 7, 500) != shares_of(arms, 8, 500)
    assert sum(shares_of(arms, 7, 500).values()) == pytest.approx(1)
    assert shares_of(arms, 7, 500) == {"a": 0.09, "b": 0.35, "c": 0.56}
    assert shares_of([], 7, 500) == {}


def test_who_is_better_beyond_doubt_gets_nearly_all_and_who_is_new_is_tried():
    found = shares_of([arm("bad", 5, 95), arm("good", 60, 40), arm("new", 0, 0)], 3, 1000)
    assert found["good"] > 0.5 > found["new"] > 0.2 and found["bad"] == 0


def test_the_tail_of_a_posterior_is_the_one_of_the_tables():
    # Beta(1, 1) is even; of Beta(2, 1) the tail above x is 1 - x²; of Beta(2, 2) above 1/2 it is a half.
    assert chance_above(arm("a", 0, 0), 0.3) == pytest.approx(0.7)
    assert chance_above(arm("a", 1, 0), 0.6) == pytest.approx(1 - 0.36)
    assert chance_above(arm("a", 1, 1), 0.5) == pytest.approx(0.5)
    assert (chance_above(arm("a", 1, 1), 0.0), chance_above(arm("a", 1, 1), 1.0)) == (1.0, 0.0)


@pytest.mark.parametrize(("won", "lost", "rate"), [(9, 40, 0.2), (180, 320, 0.33), (0, 700, 0.001)])
def test_the_tail_of_a_posterior_is_a_sum_of_binomials(won: int, lost: int, rate: float):
    """Beta(a, b) lies above x as often as a + b - 1 throws of chance x have at most a - 1 hits."""
    throws = won + lost + 1
    exact = sum(math.comb(throws, k) * rate**k * (1 - rate) ** (throws - k) for k in range(won + 1))
    assert chance_above(arm("a", won, lost), rate) == pytest.approx(exact, abs=1e-4)


@given(won=st.floats(0, 500), lost=st.floats(0, 500), rate=st.floats(0, 1))
def test_a_tail_is_a_chance(won: float, lost: float, rate: float):
    assert 0 <= chance_above(arm("a", won, lost), rate) <= 1


def test_winners_are_better_than_all_together_and_have_leads_enough():
    arms = [arm("few", 5, 0), arm("good", 40, 20), arm("bad", 10, 50), arm("fair", 20, 30)]
    assert winners(arms, least_leads=20, sure=0.95) == ["good"]
    assert winners(arms, least_leads=5, sure=0.95) == ["few", "good"]
    assert winners([arm("a", 0, 0)], 0, 0.5) == [] == winners([], 0, 0.5)
