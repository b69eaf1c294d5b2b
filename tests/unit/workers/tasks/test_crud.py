"""A real SQLite file, from its first row to its last."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from workers.task_api.context import Stopped
from workers.tasks import crud


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_cycle_touches_every_row_in_every_step(bench: Bench):
    result = bench.run(crud.run, {"rows": 7})
    steps = [(step["step"], step["rows"]) for step in result["lifecycle"]]
    assert steps == [("create", 7), ("read", 7), ("update", 7), ("read again", 7), ("delete", 7)]
    assert bench.progress[-1] == 1.0


def test_each_step_says_when_it_was_done_and_how_long_it_took(bench: Bench):
    began = time.time()
    result = bench.run(crud.run, {"rows": 3})
    times = [step["at"] for step in result["lifecycle"]]
    assert times == sorted(times) and began - 1 < times[0] and times[-1] < time.time() + 1
    assert all(step["took_s"] > 0 for step in result["lifecycle"])
    assert result["server"].startswith("SQLite ")


def test_an_attempt_works_on_a_file_of_its_own(bench: Bench):
    for _ in range(2):
        assert "earlier" not in bench.run(crud.run, {"rows": 3})["lifecycle"][0]


def test_a_slow_cycle_reports_while_it_waits(bench: Bench):
    result = bench.run(crud.run_slowly, {"rows": 2, "seconds": 0.01})
    assert len(result["lifecycle"]) == 5
    assert "waiting" in bench.notes


def test_a_slow_cycle_leaves_when_told(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    ctx = bench.context(args={"seconds": 60})
    monkeypatch.setattr(ctx, "should_stop", lambda: bool(bench.progress))
    with pytest.raises(Stopped):
        crud.run_slowly({"seconds": 60}, ctx)


def test_no_rows_are_refused(bench: Bench):
    with pytest.raises(BadInput, match=r"args\.rows"):
        bench.run(crud.run, {"rows": 0})
