"""What the keys of `conductor top` do: the same as the commands of those names."""

from __future__ import annotations

from pathlib import Path

from conductor.app.top.source import TopLane
from conductor.base.errors import UsageError
from conductor.base.moments import moment_reader
from conductor.model.job_filter import FilterError, JobFilter, parse_filter
from conductor.model.ledger_entries import JobView
from conductor.model.spec import Lane
from conductor.ports import Ledger
from conductor.record.index.history import HistoryIndex
from conductor.recovery.operator_commands import (
    set_backlog_paused,
    set_device_paused,
    set_lane_paused,
    take_command,
)
from conductor.views.explain_job import explained, lines
from conductor.views.job_log import STREAM_SIGNS, for_terminal, lines_printed, printed_of

LANES: dict[str, Lane] = {"gpu": "gpu", "cpu": "cpu", "io": "io", "cloud": "cloud"}
#: Of what a body printed so much is read.
MOST_BYTES = 1 << 20


class TopDeeds:
    def __init__(self, ledger: Ledger, state_dir: Path, receipts_dir: Path, logs_dir: Path) -> None:
        self._ledger = ledger
        self._receipts_dir = receipts_dir
        self._logs_dir = logs_dir
        self._history = HistoryIndex(state_dir, receipts_dir)

    def parse(self, words: str) -> JobFilter:
        """Raises `UsageError` for what is no filter."""
        try:
            return parse_filter(words, moment_reader())
        except FilterError as e:
            raise UsageError(str(e)) from None

    def explain(self, job_id: str) -> list[str]:
        return lines(explained(self._ledger, self._view(job_id), self._history, self._logs_dir))

    def log(self, job_id: str) -> list[str]:
        found: list[str] = []
        for printed in printed_of(self._logs_dir, job_id):
            still = ", running" if printed.is_running else ""
            found.append(f"── attempt {printed.attempt}{still} ──")
            for stream, text in lines_printed(printed, self._logs_dir, job_id, MOST_BYTES):
                found.append(f"{STREAM_SIGNS[stream]}{for_terminal(text)}")
        return found or ["nothing that is kept on this host"]

    def cancel(self, job_id: str) -> str:
        taken = take_command(self._ledger, self._receipts_dir, self._view(job_id), "cancel")
        if not taken.is_taken:
            return f"left as it is: it is {taken.was}"
        return "being stopped" if taken.was == "running" else "cancelled"

    def set_paused(self, lane: TopLane) -> str:
        place, is_paused = lane.place, not lane.is_paused
        if lane.kind == "device":
            set_device_paused(self._ledger, self._receipts_dir, place, is_paused)
            return f"{place} is {'paused: what runs there is finished' if is_paused else 'used again'}"
        if lane.kind == "backlog":
            set_backlog_paused(self._ledger, self._receipts_dir, place, is_paused)
        else:
            set_lane_paused(self._ledger, self._receipts_dir, LANES[place], is_paused)
        return f"{lane.kind} {place} is {'paused: what runs is finished' if is_paused else 'fed again'}"

    def _view(self, job_id: str) -> JobView:
        view = self._ledger.jobs.job(job_id)
        if view is None:
            raise UsageError("the ledger does not know this job (any more)")
        return view
