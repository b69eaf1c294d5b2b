"""Durations in buckets: a percentile is right within five percent, and counts add up."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.crud.latencies import bucket_of, in_words, percentile


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=50), st.sampled_from((0.5, 0.95, 0.99, 1.0)))
def test_a_percentile_is_right_within_five_percent(durations: list[float], share: float) -> None:
    found = percentile(Counter(map(bucket_of, durations)), share)
    right = sorted(durations)[math.ceil(share * len(durations)) - 1]
    assert found == pytest.approx(right, rel=0.0501)


def test_what_is_too_short_to_be_measured_counts_as_the_least() -> None:
    assert bucket_of(0.0) == bucket_of(1e-9) == 0
    assert percentile(Counter[int](), 0.5) == 0.0


def test_it_is_said_for_people() -> None:
    counts = Counter(map(bucket_of, [0.001] * 98 + [0.01, 2.0]))
    assert in_words(counts) == (
        "50 % within 1 ms, 95 % within 1 ms, 99 % within 9.9 ms, at most 2100 ms (100 times)"
    )
