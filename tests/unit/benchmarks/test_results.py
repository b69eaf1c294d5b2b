"""The page of figures: each part is replaced by itself; one of its figures is held here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("results")


@pytest.fixture
def decision(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("decision")


def test_a_part_is_replaced_and_the_others_stay_in_their_order(results: Any, tmp_path: Path):
    page = tmp_path / "RESULTS.md"
    results.write("tick", "A tick", "| 2 ms |", page)
    results.write("peers", "Peers", "first", page)
    results.write("peers", "Peers", "second, with a \\1 and a $", page)

    text = page.read_text("utf-8")
    assert "first" not in text and "| 2 ms |" in text
    assert text.index("second, with a \\1 and a $") < text.index("## A tick")
    assert text.count("<!-- end -->") == 2


def test_a_part_that_the_page_does_not_have_is_refused_and_nothing_written(results: Any, tmp_path: Path):
    with pytest.raises(ValueError, match="gossip"):
        results.write("gossip", "", "", tmp_path / "RESULTS.md")
    assert not (tmp_path / "RESULTS.md").exists()


def test_options_reach_the_benchmark_and_the_page_says_which_and_of_what_commit(
    results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "own.py").write_text(
        "import json, sys; json.dump([{'words': ' '.join(sys.argv[1:-1])}], open(sys.argv[-1], 'w'))"
    )
    monkeypatch.setattr(results, "HERE", tmp_path)
    monkeypatch.setattr(results, "PAGE", tmp_path / "RESULTS.md")
    own = results.ResultSection("A tick", ("own.py", "--json"), results.as_it_is)
    monkeypatch.setitem(results.SECTIONS, "tick", own)
    monkeypatch.setattr(results, "commit", lambda: "1234abcd+")
    monkeypatch.setattr("sys.argv", ["results.py", "tick", "--", "--rounds", "2"])

    assert results.main() == 0

    text = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert "| --rounds 2 --json |" in text
    assert "`python benchmarks/own.py --rounds 2 --json FILE` of 1234abcd+ on " in text


def test_options_for_two_benchmarks_are_refused(results: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["results.py", "tick", "web", "--", "--rounds", "2"])
    with pytest.raises(SystemExit) as refused:
        results.main()
    assert refused.value.code == 2


def test_rows_of_other_keys_share_a_table(results: Any):
    lines = results.table([{"a": 1234567, "b": 0.12345}, {"a": 1234.5, "c": "x"}]).splitlines()

    assert lines == ["| a | b | c |", "|---|---|---|", "| 1,234,567 | 0.1235 | – |", "| 1,234 | – | x |"]


def test_no_workflow_on_a_tight_disk_lasts_a_tenth_longer_than_by_the_best_simple_rule(decision: Any):
    """An order by id among those that were passed over made it a quarter (the page's part `decision`)."""
    rows = list(decision.disks(only="srasearch"))

    assert len(rows) == 3
    assert [row.what for row in rows if not row.is_met] == []
