"""The thread that waits for the forecast's process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import a_reservation, a_snapshot
from msgspec.structs import replace

from conductor.adapters.host.processes import spawn
from conductor.analysis.forecast import forecast_thread
from conductor.analysis.forecast.forecast_thread import Forecasting
from conductor.model.decision import Decision
from conductor.ports import Ledger

HALF = (
    "import sys, time; input(); print('{\"pred', end='', flush=True); open(sys.argv[1], 'w'); time.sleep(60)"
)


@pytest.mark.usefixtures("no_thread_falls")
def test_an_answer_that_a_kill_cut_off_is_none(
    tmp_path: Path, memory_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    begun = tmp_path / "begun"

    def half(argv: object, **more: Any) -> subprocess.Popen[bytes]:
        return spawn([sys.executable, "-c", HALF, str(begun)], **more)

    monkeypatch.setattr(forecast_thread, "spawn", half)
    monkeypatch.setattr(forecast_thread, "PATIENCE_S", 0.0)
    snapshot = a_snapshot()
    with Forecasting(tmp_path, memory_ledger) as forecasting:
        busy = replace(snapshot, reservations=(a_reservation(),))
        forecasting.tick(busy, Decision(now=snapshot.now, hold=()))
        while not begun.exists():
            pass

    assert forecasting.latest is None
