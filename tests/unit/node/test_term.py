"""A node that ends at a known time, and has a part of its host."""

from __future__ import annotations

import pytest

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.host.host_probe import HostFacts
from conductor.base.moments import seconds_from_now
from conductor.model.report import Measure
from conductor.node.term import LAST_S, term_of


def test_it_takes_work_until_a_minute_before_its_end() -> None:
    clock = ManualClock(50.0)
    term = term_of(3600.0, clock=clock.monotonic)
    assert (term.ends_in_s, term.is_due) == (3600.0 - LAST_S, False)

    clock.advance(3600.0 - LAST_S)

    assert (term.ends_in_s, term.is_due) == (0.0, True)
    assert term.drain_within(None) == LAST_S / 2 and term.drain_within(5.0) == 5.0


def test_of_a_short_time_a_fifth_is_kept_for_the_end() -> None:
    assert term_of(10.0, clock=ManualClock().monotonic).ends_in_s == 8.0


def test_it_has_no_more_than_its_part_and_no_more_than_there_is() -> None:
    host = HostFacts(measured={"ram": Measure(total=64_000, free=3000)}, cpu_count=16.0)
    part = term_of(60.0, cpus=4, ram_mib=8192).part_of(host)

    assert (part.cpu_count, part.measured["ram"]) == (4, Measure(total=8192, free=3000))
    assert term_of(60.0, cpus=99, ram_mib=99_999).part_of(host).cpu_count == 16.0


@pytest.mark.parametrize(("word", "seconds"), [("90s", 90.0), ("8h", 28_800.0), ("1.5min", 90.0)])
def test_a_time_from_now_on_is_read(word: str, seconds: float) -> None:
    assert seconds_from_now(word) == seconds


def test_a_time_of_the_day_is_the_next_one_and_what_is_over_is_refused() -> None:
    assert 0 < seconds_from_now("06:00") <= 25 * 3600
    for word in ("2020-01-01", "soon"):
        with pytest.raises(ValueError, match="the next one"):
            seconds_from_now(word)
