"""Moments as somebody types them, by the clock of the host's zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from conductor.base.moments import moment_of

NOW = datetime(2026, 11, 29, 8, 30).timestamp()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("18:00", datetime(2026, 11, 28, 18)),
        ("08:30", datetime(2026, 11, 29, 8, 30)),
        ("8:29:59", datetime(2026, 11, 29, 8, 29, 59)),
        ("2h", datetime(2026, 11, 29, 6, 30)),
        ("90min", datetime(2026, 11, 29, 7)),
        ("1.5d", datetime(2026, 11, 27, 20, 30)),
        ("today", datetime(2026, 11, 29)),
        ("Yesterday", datetime(2026, 11, 28)),
        ("2026-11-02", datetime(2026, 11, 2)),
        ("2026-11-02T03:04", datetime(2026, 11, 2, 3, 4)),
    ],
)
def test_moments(typed: str, meant: datetime) -> None:
    assert moment_of(typed, NOW) == meant.timestamp()


@pytest.mark.parametrize("typed", ["", "soon", "25:00", "2x", "2026-13-01", "-1h"])
def test_what_is_none_is_told_how_to_say_it(typed: str) -> None:
    with pytest.raises(ValueError, match=r"write 18:00"):
        moment_of(typed, NOW)
