"""Expected revenue and credit: whole numbers that add up, by formulas worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ads.attribution import DAY_S, credits_of
from workers.ads.revenue import STAGES, expected_micros, micros, outcome_of
from workers.ads.shares import WHOLE_PPM, shared_out

NOW = 1_764_000_000.0


def days(*touches: tuple[str, float]) -> list[tuple[str, float]]:
    """(creative, so many days ago)."""
    return [(creative, NOW - ago * DAY_S) for creative, ago in touches]


def test_what_a_lead_is_worth_is_its_chance_times_its_value():
    assert expected_micros(STAGES["qualified"], micros(1234.56)) == micros(493.824)
    assert expected_micros(STAGES["won"], micros(0.01)) == 10_000
    assert expected_micros(STAGES["lost"], micros(1e12)) == 0
    assert [outcome_of(STAGES[stage]) for stage in ("won", "contract_sent", "lost")] == [
        "won",
        "open",
        "lost",
    ]


@pytest.mark.parametrize(
    ("model", "credit"),
    [
        ("last_touch", {"c": 1_000_000}),
        ("position", {"a": 400_000, "b": 200_000, "c": 400_000}),
        # 1 + 1/2 + 1/4 for 0, 7 and 14 days.
        ("time_decay", {"a": 142_857, "b": 285_714, "c": 571_429}),
    ],
)
def test_each_model_gives_what_its_formula_says(model: str, credit: dict[str, int]):
    touches = days(("a", 14), ("c", 0), ("b", 7))
    assert credits_of(touches, NOW, model) == credit  # type: ignore[arg-type]


def test_touches_of_one_creative_are_added_and_those_outside_of_the_window_are_none():
    assert credits_of(days(("a", 31), ("b", 1), ("b", -1)), NOW, "position") == {"b": WHOLE_PPM}
    assert credits_of(days(("a", 3), ("b", 2), ("b", 1), ("a", 0)), NOW, "position") == {
        "a": 800_000,
        "b": 200_000,
    }
    assert credits_of(days(("a", 31)), NOW, "time_decay") == {}
    assert credits_of([], NOW, "last_touch") == {}


@given(
    touches=st.lists(st.tuples(st.text(max_size=5), st.floats(0, 40)), max_size=50),
    model=st.sampled_from(["last_touch", "position", "time_decay"]),
    half_life=st.floats(0.01, 365),
)
def test_credit_adds_up_to_one_in_whatever_order_it_is_told(
    touches: list[tuple[str, float]], model: str, half_life: float
):
    told = days(*touches)
    found = credits_of(told, NOW, model, half_life)  # type: ignore[arg-type]
    assert sum(found.values()) in (0, WHOLE_PPM) and all(part > 0 for part in found.values())
    assert bool(found) == any(NOW - 30 * DAY_S <= when <= NOW for _, when in told)
    assert found == credits_of(told[::-1], NOW, model, half_life)  # type: ignore[arg-type]


@given(
    whole=st.integers(0, 10**18),
    weights=st.dictionaries(st.text(max_size=3), st.floats(0, 1e6, allow_subnormal=False), min_size=1).filter(
        lambda found: sum(found.values()) > 0
    ),
)
def test_no_part_is_lost_when_a_whole_is_shared_out(whole: int, weights: dict[str, float]):
    found = shared_out(whole, weights)
    assert sum(found.values()) == whole and all(part > 0 for part in found.values())
