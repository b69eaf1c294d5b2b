"""The lines of a run in a pipe."""

import threading

import pytest
from loguru import logger
from node_scene import until

from conductor.ports import Ledger
from conductor.views import run_watch
from conductor.views.run_summary import Pace


class Eyes(run_watch.LedgerWatch):
    looks = 0

    def look(self) -> Pace:
        self.looks += 1
        return super().look()


def test_a_run_in_which_nothing_happens_says_so_once(memory_ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_watch, "LINE_EVERY_S", 0.001)
    said: list[str] = []
    sink = logger.add(
        said.append, filter=lambda record: record["extra"].get("event") == "run.progress", format="{message}"
    )
    eyes, over = Eyes(memory_ledger), threading.Event()
    thread = threading.Thread(target=lambda: run_watch.show_lines(eyes, over, ""))

    thread.start()
    try:
        until(lambda: eyes.looks > 5)
    finally:
        over.set()
        thread.join()
        logger.remove(sink)

    assert len(said) == 1
    assert "0 of 0 done" in said[0]
