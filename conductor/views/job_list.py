"""The list of jobs: selected by the history index, with the states of the ledger laid over.

The record alone tells what was dispatched and how attempts ended; who runs now, who is dead for good and who
is in review only the ledger knows. A refresh asks it for those, and each page asks once more for its own
rows, so that what is shown is true when it is shown. Without Redis the list is that of the record, and says
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from conductor.base.errors import UsageError
from conductor.model.job_filter import JobFilter
from conductor.model.job_row import JobPage, JobRow
from conductor.model.snapshot import Reservation
from conductor.ports import Ledger
from conductor.record.index.feed import OnFed
from conductor.record.index.history import HistoryIndex
from conductor.record.index.indexed_job import LiveState

MOST_ROWS = 1000
BY_RECORD = (
    "Redis was not asked: this is the record alone, in which nobody runs, and who failed last counts as dead"
)
BEING_FED = "the history index is being brought up to date by another process: this is as of a moment ago"


class JobList:
    """One of a process; threads may share it. `ledger`: None where Redis cannot be reached."""

    def __init__(self, state_dir: Path, receipts_dir: Path, ledger: Ledger | None) -> None:
        self.index = HistoryIndex(state_dir, receipts_dir)
        self._ledger = ledger
        self._notes: tuple[str, ...] = () if ledger is not None else (BY_RECORD,)

    def refresh(self, on_fed: OnFed = lambda lines: None) -> bool:
        """Record and ledger as of now. It costs by what is news, and by the number of jobs that are dead,
        cancelled, in review or under way. False: another process is at it. Raises `Unreachable`,
        `ConfigError`."""
        is_done = self.index.refresh(None if self._ledger is None else live_states(self._ledger), on_fed)
        self._notes = tuple(
            note for note in (BY_RECORD * (self._ledger is None), BEING_FED * (not is_done)) if note
        )
        return is_done

    def full_page(self, wanted: JobFilter, limit: int = 50, cursor: str = "") -> JobPage:
        """As `page`, and where that is short, with as many of the next ones as make it full: for who can
        wait."""
        page = self.page(wanted, limit, cursor)
        while page.cursor and len(page.rows) < limit:
            more = self.page(wanted, limit - len(page.rows), page.cursor)
            rows = (*page.rows, *more.rows)
            count = page.count if page.is_count_exact else len(rows)
            is_exact = page.is_count_exact or (not more.cursor and not cursor)
            page = replace(page, rows=rows, cursor=more.cursor, count=count, is_count_exact=is_exact)
        return page

    def page(self, wanted: JobFilter, limit: int = 50, cursor: str = "") -> JobPage:
        """Raises `UsageError` for a cursor that is none."""
        if cursor and not cursor.isdecimal():
            raise UsageError(f"{cursor[:40]} is no cursor: take the one that the page before ended with")
        found = self.index.find(wanted, min(max(1, limit), MOST_ROWS), int(cursor) if cursor else None)
        rows = self.index.rows(n for _, n in found.keys)
        if self._ledger is not None:
            rows = tuple(self._as_live(self._ledger, rows, wanted))
        return JobPage(
            rows=rows,
            cursor="" if found.cursor is None else str(found.cursor),
            count=found.count,
            is_count_exact=found.is_exact,
            is_live=self._ledger is not None,
            notes=self._notes,
        )

    def job(self, job_id: str) -> JobRow | None:
        row = self.index.job(job_id)
        if row is None or self._ledger is None:
            return row
        return next(self._as_live(self._ledger, (row,), JobFilter()), row)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def names(self) -> dict[str, dict[str, int]]:
        """What may stand behind `state:`, `cause:`, `task:`, `workflow:`, `backlog:` and `node:` → jobs."""
        return self.index.names()

    def ids(self, wanted: JobFilter) -> Iterator[str]:
        """All that fit, however many. Whoever acts on them looks at each again: the ledger decides."""
        return self.index.ids(wanted)

    def _as_live(self, ledger: Ledger, rows: Sequence[JobRow], wanted: JobFilter) -> Iterator[JobRow]:
        """What became another one since the index was fed does not stand under a state that it has not."""
        states = ledger.jobs.states([row.job_id for row in rows]) if rows else {}
        held = {each.job_id: each for each in ledger.handover.reservations()} if rows else {}
        for row in rows:
            state = states.get(row.job_id, row.state)
            if wanted.states and state not in wanted.states:
                continue
            row = row if state == row.state else replace(row, state=state)
            there = held.get(row.job_id)
            yield row if there is None else _running(row, there)


def _running(row: JobRow, held: Reservation) -> JobRow:
    use = held.usage
    return replace(
        row,
        state=held.state,
        node=held.node,
        device=",".join(held.devices),
        started_at=held.started_at or None,
        ended_at=None,
        seconds=None,
        progress=held.progress,
        note=held.note,
        asked_vram_mib=held.vram_mib or row.asked_vram_mib,
        asked_ram_mib=held.ram_mib or row.asked_ram_mib,
        used_vram_mib=use.vram_mib if use else None,
        used_ram_mib=use.rss_mib if use else None,
    )


def live_states(ledger: Ledger) -> dict[str, LiveState]:
    """Of jobs that are neither waiting nor done. Raises `Unreachable`."""
    own = set(ledger.jobs.died())
    found = {
        job_id: LiveState("dead", "" if job_id in own else "dependency_dead")
        for job_id in ledger.jobs.ids("dead")
    }
    found |= {job_id: LiveState("cancelled", "cancelled") for job_id in ledger.jobs.ids("cancelled")}
    found |= {job_id: LiveState("review") for job_id in ledger.jobs.ids("review")}
    found |= {held.job_id: LiveState(held.state) for held in ledger.handover.reservations()}
    return found
