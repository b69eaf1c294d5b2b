"""A page of the list of jobs as a table, and one job in one line."""

from __future__ import annotations

import time
from collections.abc import Sequence

from conductor.base.text import duration, many, short, table
from conductor.model.job_row import SHAPES, JobPage, JobRow, JobSums
from conductor.model.subject import SHORT_ID

MOST_SUBJECT, MOST_WHY = 48, 60
HEAD = ("state", "job", "id", "since", "took", "where", "why")


def lines(page: JobPage, now: float) -> list[str]:
    """The table, and at its foot how many there are. `now`: epoch seconds."""
    rows = [_cells(row, now) for row in page.rows]
    return [*table([HEAD, *rows], indent=""), "", foot(page)] if rows else [foot(page)]


def group_lines(sums: JobSums) -> list[str]:
    """A row a group, the largest first."""
    rows = [
        (each.name or "none", str(each.jobs), duration(each.seconds), _hours(each.device_s))
        for each in sums.groups
    ]
    return [*table([(sums.by or "", "jobs", "ran", "on devices"), *rows], indent=""), ""] if rows else []


def sum_line(sums: JobSums) -> list[str]:
    """What all of them come to; nothing where none has run."""
    if not sums.seconds:
        return [] if sums.by is None else [many(sums.jobs, "job")]
    of = "in all" if sums.is_exact else f"the latest {sums.jobs}"
    devices = f", {_hours(sums.device_s)} of it on devices" if sums.device_s else ""
    return [f"{of}: {many(sums.jobs, 'job')}, their last attempts ran {duration(sums.seconds)}{devices}"]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 360 else duration(seconds) if seconds else ""


def foot(page: JobPage) -> str:
    count = page.count
    jobs = f"{count} job" if count == 1 else f"{count} jobs"
    if not page.is_count_exact:
        jobs = f"at least {jobs}"
    shown = f", {len(page.rows)} shown" if len(page.rows) < count or page.cursor else ""
    more = f"; the next: --cursor {page.cursor}" if page.cursor else ""
    return f"{jobs}{shown}{more}"


def _cells(row: JobRow, now: float) -> Sequence[object]:
    why = ": ".join(each for each in (row.cause, row.message) if each)
    if row.state in ("running", "admitted"):
        why = "" if row.progress is None else f"{row.progress:.0%} {row.note}".strip()
    elif row.state == "done":
        why = ""
    return (
        f"{SHAPES[row.state]} {row.state}",
        short(row.subject, MOST_SUBJECT),
        row.job_id[:SHORT_ID],
        clock_of(row.at, now),
        _lasted(row, now),
        "/".join(each for each in (row.node, row.device) if each),
        short(why, MOST_WHY),
    )


def _lasted(row: JobRow, now: float) -> str:
    if row.state == "running" and row.started_at:
        return duration(now - row.started_at)
    return "" if row.seconds is None else duration(row.seconds)


def clock_of(at: float, now: float) -> str:
    """«18:04», of another day with its date; empty: not known."""
    if not at:
        return ""
    then, today = time.localtime(at), time.localtime(now)
    is_today = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", then)
