"""What results tell beyond their own job, whatever somebody writes there."""

from __future__ import annotations

import pytest

from conductor.model.told_result import (
    MOST_FALLBACKS,
    MOST_WORDS,
    EngineFallback,
    fallbacks_of,
    found_of,
    frames_of,
)


@pytest.mark.parametrize(
    ("said", "count"), [(12, 12), ([{}, {}], 2), (True, 0), (-3, 0), ("12", 0), (None, 0), (2.5, 0)]
)
def test_a_count_is_a_number_or_a_list(said: object, count: int) -> None:
    assert (frames_of({"frames": said}), found_of({"events": said})) == (count, count)


def test_fallbacks_are_told_by_the_result_or_by_the_provider() -> None:
    told = {"fallbacks": [{"from": "api", "to": "local", "reason": "429"}, "nonsense"]}
    assert fallbacks_of(told, ()) == (EngineFallback("api", "local", "429"),)
    (on_cpu,) = fallbacks_of({"provider": "CPUExecutionProvider"}, ("gpu0",))
    assert (on_cpu.from_engine, on_cpu.to_engine) == ("gpu", "cpu")
    assert fallbacks_of({"provider": "CPUExecutionProvider"}, ()) == ()


def test_no_result_makes_more_of_it_than_a_page_holds() -> None:
    many = [{"from": "x" * 10_000, "to": "y", "reason": "z"}] * 1000
    found = fallbacks_of({"fallbacks": many}, ())
    assert len(found) == MOST_FALLBACKS and len(found[0].from_engine) == MOST_WORDS
