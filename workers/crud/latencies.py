"""Many durations in few numbers, which can be added up: how many fell between two bounds. Pure.

A bound is a tenth above the one before, from one microsecond on: what is said of a percentile is right within
five percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_STEP = math.log(1.1)
_LEAST_S = 1e-6
SHARES = (0.5, 0.95, 0.99)


def bucket_of(seconds: float) -> int:
    return max(0, math.floor(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _STEP))


def seconds_of(bucket: int) -> float:
    """In the middle between its bounds."""
    return _LEAST_S * math.exp((bucket + 0.5) * _STEP)


def percentile(counts: Mapping[int, int], share: float) -> float:
    """Seconds that `share` of them did not exceed; 0.0 of none."""
    left = math.ceil(share * sum(counts.values()))
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            return seconds_of(bucket)
    return 0.0


def in_words(counts: Mapping[int, int]) -> str:
    """«50 % within 0.41 ms, 95 % within 1.2 ms, 99 % within 3.5 ms, at most 12 ms (1,200 times)»."""
    shares = [f"{share * 100:g} % within {_ms(percentile(counts, share))}" for share in SHARES]
    most = _ms(seconds_of(max(counts)))
    return f"{', '.join(shares)}, at most {most} ({sum(counts.values()):,} times)"


def _ms(seconds: float) -> str:
    return f"{float(f'{seconds * 1000:.2g}'):g} ms"
