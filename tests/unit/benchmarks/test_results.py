"""The page of figures: each part is replaced by itself."""

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


def test_rows_of_other_keys_share_a_table(results: Any):
    lines = results.table([{"a": 1234567, "b": 0.12345}, {"a": 1234.5, "c": "x"}]).splitlines()

    assert lines == ["| a | b | c |", "|---|---|---|", "| 1,234,567 | 0.1235 | – |", "| 1,234 | – | x |"]
