"""What is lost between two jobs, by the place that each start takes."""

from __future__ import annotations

import pytest
from builders import NOW
from learned_scene import a_receipt

from conductor.analysis.forecast.between_jobs import gaps_of
from conductor.model.receipt import Receipt


def ran(n: int, worker: str, start: float, end: float, node: str = "node1") -> Receipt:
    return a_receipt(n, worker=worker, node=node, started_at=NOW + start, ended_at=NOW + end)


def test_a_worker_that_waited_for_the_cores_of_another_one_lost_nothing_but_its_start() -> None:
    """One core, two workers in turn: each stands still for as long as the other one works."""
    rows = [ran(n, f"w{n % 2}", n * 0.5, n * 0.5 + 0.48) for n in range(6)]

    assert list(gaps_of(rows)) == pytest.approx([0.02] * 5)


def test_with_several_places_each_end_is_followed_by_one_start() -> None:
    rows = [ran(n, f"w{n % 2}", n * 0.5, n * 0.5 + 0.97) for n in range(6)]

    assert list(gaps_of(rows)) == pytest.approx([0.03] * 4)


def test_what_stood_still_for_longer_had_nothing_to_do_and_no_host_frees_places_of_another() -> None:
    rows = [ran(0, "w0", 0, 1), ran(1, "w0", 2.5, 3), ran(2, "w1", 3.1, 4, node="node2")]

    assert list(gaps_of(rows)) == []
