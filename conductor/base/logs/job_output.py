"""What bodies printed, each body's in a file of its own: `logs/jobs/DAY/ID.ATTEMPT.TOKEN.out` (days in UTC).

A folder a day, so that the oldest go together; within it a job's files are found by its id. One that printed
nothing has none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conductor.base.logs.events import emit_event

FOLDER = "jobs"
SUFFIX = ".out"
#: Of each body its first and its last words are kept, and how much was left out between them.
BODY_BYTES = 5 << 18
#: All of them together; the oldest days go first, and today's never.
MOST_BYTES = 4 << 30
MOST_DAYS = 30


def ends_kept(body_bytes: int) -> tuple[int, int]:
    """Of so many bytes: what begins a body's words, and what ends them. The end says why it failed."""
    head = body_bytes // 5
    return head, body_bytes - head


def file_of(logs_dir: Path, job_id: str, body: str, at: float) -> Path:
    """Where the words of one body belong that ended at `at` (epoch seconds). Its folder may not be there
    yet.
    """
    return logs_dir / FOLDER / _day(datetime.fromtimestamp(at, UTC)) / f"{job_id}.{body}{SUFFIX}"


def files_of(logs_dir: Path, job_id: str) -> list[Path]:
    """What the job's bodies printed, the oldest first."""
    return sorted((logs_dir / FOLDER).glob(f"*/{job_id}.*{SUFFIX}"), key=lambda file: file.stat().st_mtime)


def overdue(
    logs_dir: Path, now: float, most_bytes: int = MOST_BYTES, most_days: int = MOST_DAYS
) -> list[Path]:
    """The oldest days, until all is small and young enough. `now`: epoch seconds."""
    today = datetime.fromtimestamp(now, UTC)
    oldest, total, found = _day(today - timedelta(days=most_days)), 0, list[Path]()
    for day in sorted(_days(logs_dir), reverse=True):
        total += sum(_sizes(day))
        if day.name < _day(today) and (day.name < oldest or total > most_bytes):
            found.append(day)
    return found


def prune(logs_dir: Path, now: float, most_bytes: int = MOST_BYTES, most_days: int = MOST_DAYS) -> list[Path]:
    """Remove what is overdue; which days went."""
    gone = overdue(logs_dir, now, most_bytes, most_days)
    for day in gone:
        shutil.rmtree(day, ignore_errors=True)
    if gone:
        words = "Removed what bodies printed on {folders} days, up to {}"
        emit_event("printed.removed", words, gone[0].name, folders=len(gone), file=str(gone[0]))
    return gone


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _days(logs_dir: Path) -> Iterator[Path]:
    for folder in (logs_dir / FOLDER).glob("????-??-??"):
        if folder.is_dir() and not folder.is_symlink():
            yield folder


def _sizes(day: Path) -> Iterator[int]:
    for file in day.glob(f"*{SUFFIX}"):
        with suppress(OSError):  # another node on the same folder was quicker
            yield file.lstat().st_size
