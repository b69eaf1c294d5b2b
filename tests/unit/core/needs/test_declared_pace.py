"""What is expected of a kind that few have gone before: what was declared, at the pace that others keep."""

from __future__ import annotations

import pytest
from learned_scene import a_receipt

from conductor.core.needs.declared_pace import MOST, pace, with_declared
from conductor.core.needs.samples import Memory


def memory_of(*rows: tuple[str, float, float]) -> Memory:
    """(kind, declared, took) of each."""
    memory = Memory()
    for n, (kind, declared_s, seconds) in enumerate(rows):
        memory.learn(a_receipt(n, kind=kind, duration_s=declared_s, seconds=seconds))
    return memory


def test_a_machine_that_takes_twice_what_was_declared_does_so_with_what_it_has_not_run_yet() -> None:
    memory = memory_of(*[("media.cut", 2.0, 4.0)] * 3)

    assert pace(memory) == 2.0
    assert with_declared(0.0, 10.0, 0, pace(memory)) == 20.0


def test_each_kind_counts_once_and_the_middle_one_speaks() -> None:
    memory = memory_of(
        *[("exact.sleep", 2.0, 2.0)] * 9, *[("media.cut", 2.0, 4.0)] * 3, *[("media.join", 2.0, 6.0)] * 3
    )

    assert pace(memory) == 2.0


def test_nothing_is_known_of_the_pace_by_too_few_or_by_jobs_that_are_mostly_their_start() -> None:
    assert pace(memory_of(*[("media.cut", 2.0, 8.0)] * 2)) == 1.0
    assert pace(memory_of(*[("media.probe", 0.1, 0.9)] * 5)) == 1.0
    assert pace(memory_of(*[("media.cut", 0.0, 8.0)] * 5)) == 1.0
    assert pace(memory_of(*[("media.cut", 2.0, 800.0)] * 5)) == MOST


def test_the_first_of_a_kind_starts_cold_and_does_not_speak_for_all_that_wait() -> None:
    """Of the reel's cuts the first took 8.6 s, and the usual one 3.1 s."""
    assert with_declared(8.6, 2.3, 1, 1.0) == pytest.approx((8.6 + 2 * 2.3) / 3)
    assert with_declared(8.6, 2.3, 3, 1.0) == 8.6
    assert with_declared(8.6, 0.0, 1, 1.0) == 8.6  # nothing is declared: it is all that is known
