"""The thread that waits for the forecast's process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from builders import a_reservation, a_snapshot
from msgspec.structs import replace

from conductor.adapters.host.processes import spawn
from conductor.analysis.forecast import forecast_thread
from conductor.analysis.forecast.forecast_thread import Forecasting
from conductor.model.decision import Decision
from conductor.model.forecast import PredictionReply
from conductor.ports import Ledger

#: The first one dies of its question, the next one answers.
ONCE = """
import pathlib, sys
first = pathlib.Path(sys.argv[1])
input()
if not first.exists():
    first.touch()
    sys.exit("no memory")
print('{"known": 1, "wall_s": 0.0, "error": "nobody can say"}', flush=True)
sys.stdin.read()
"""
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


@pytest.mark.usefixtures("no_thread_falls")
def test_a_process_that_ends_is_followed_by_another(
    tmp_path: Path, memory_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    """One that the kernel took its memory at 1 o'clock: there is a forecast again at 2."""
    first, answered, rests = tmp_path / "first", threading.Event(), list[float]()

    def once(argv: object, **more: Any) -> subprocess.Popen[bytes]:
        return spawn([sys.executable, "-c", ONCE, str(first)], **more)

    def take(self: Forecasting, answer: PredictionReply) -> float:
        assert answer.error == "nobody can say"
        answered.set()
        return 60.0

    monkeypatch.setattr(forecast_thread, "spawn", once)
    monkeypatch.setattr(forecast_thread, "PATIENCE_S", 0.0)
    monkeypatch.setattr(forecast_thread, "AGAIN_S", 0.01)
    monkeypatch.setattr(Forecasting, "_take", take)
    monkeypatch.setattr(
        forecast_thread, "emit_event", lambda name, text, seconds, error: rests.append(seconds)
    )
    snapshot = a_snapshot()
    with Forecasting(tmp_path, memory_ledger) as forecasting:
        busy = replace(snapshot, reservations=(a_reservation(),))
        forecasting.tick(busy, Decision(now=snapshot.now, hold=()))
        assert answered.wait(30)

    assert rests == [0.01]
