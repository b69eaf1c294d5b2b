"""`price` on two of the nights of benchmarks/price_nights.py, whose jobs take what nobody was told."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def price_nights(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("price_nights")


def test_a_night_with_one_gpu_more_or_a_larger_disk_takes_what_was_named(price_nights: Any) -> None:
    for night in (price_nights.gpu_night(1), price_nights.disk_night(2)):
        row, is_met = price_nights.answered(night)
        assert is_met, row
