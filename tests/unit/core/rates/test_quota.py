"""How long a call of a configured limit counts: never too short, and hardly too long."""

from __future__ import annotations

import pytest
from builders import NOW

from conductor.core.rates.quota import TRANSIT_S, Quota, told
from conductor.model.calls import Call


@pytest.mark.parametrize(("took_s", "counted_s"), [(0.3, 0.0), (1.9, 0.0), (30.0, 30.0 - TRANSIT_S)])
def test_it_counts_for_a_minute_from_its_answer_or_two_seconds_after_it_was_sent(
    took_s: float, counted_s: float
) -> None:
    for i in range(50):
        now = NOW + i * 0.037  # Wherever in a step it falls.
        quota = told(Quota(), [Call(key="api", outcome="ok", took_s=took_s)], now, 60.0)
        ends = now - counted_s + 60.0
        assert quota.counted(ends - 1e-3, 60.0) == 1, "the server may hold it still"
        assert quota.counted(ends + 0.101, 60.0) == 0, (
            "a tenth of a second of each minute is all that is given away"
        )
