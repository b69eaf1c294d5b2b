"""Removes what killed attempts left in the `.tmp` folders of the roots. Careful: a folder too many costs a
night.

A folder `.tmp/ID.ATTEMPT.TOKEN` goes soon after its job has ended; before that when the attempt is not
active, nothing in it was touched for a while, and the job does not rest on it: output that could not be
published is kept. Jobs this ledger does not know may be another project's on the same NAS: theirs are left
for a day.

What a job keeps between its attempts (`.tmp/checkpoints/ID.ATTEMPT.TOKEN`) goes when it is done or cancelled;
a dead one may be tried again for a week.

What was put aside (`.tmp/aside/ID.ATTEMPT`: an output that counts no more) is kept for a week, so that a
person can take it back; then it goes, once its job is done again or cancelled.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from conductor.base.files.paths import ASIDE, CHECKPOINTS, KEPT
from conductor.base.logs.events import emit_event
from conductor.ports import Ledger

FOLDER = ".tmp"
NAME = re.compile(r"([A-Za-z0-9_-]{8,64})\.([0-9]{1,9})(?:\.[0-9a-f]{8})?")
IDLE_S = 600.0
STRANGER_IDLE_S = 86_400.0
#: Of what was put aside; of jobs that this ledger does not know the longer time.
ASIDE_S = 7 * 86_400.0
STRANGER_ASIDE_S = 30 * 86_400.0


def clean_staging(roots: Iterable[Path], ledger: Ledger, now: float) -> list[Path]:
    """Remove stale attempt folders below `roots`; those removed. `now`: epoch seconds by this host's clock.

    Raises `Unreachable` before anything is removed unjudged; a folder that cannot be removed is left and
    logged.
    """
    return remove(
        folder
        for root in roots
        for stale_ones in (stale, stale_aside, stale_checkpoints)
        for folder in stale_ones(root, ledger, now)
    )


def clean_ended(roots: Iterable[Path], ledger: Ledger) -> list[Path]:
    """Remove the folders of jobs that have come to their end, however fresh: nobody will publish from them.

    Cheap: names only, and one look at the ledger for each folder. Raises `Unreachable`.
    """
    return remove(folder for root in roots for folder in ended(root, ledger))


def ended(root: Path, ledger: Ledger) -> list[Path]:
    left = [folder for folder in attempts(root) if has_ended(folder, ledger)]
    return left + [folder for folder in checkpoints(root) if is_through(folder, ledger)]


def remove(folders: Iterable[Path]) -> list[Path]:
    removed: list[Path] = []
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # the worker itself was quicker
        except OSError as e:
            emit_event("file.not_removed", "cannot remove {file}: {error}", file=str(folder),
                       error=e.strerror or str(e))  # fmt: skip
            continue
        removed.append(folder)
    if removed:
        emit_event("folders.removed", "Removed {folders} folders of attempts that are over",
                   folders=len(removed))  # fmt: skip
    return removed


def stale(root: Path, ledger: Ledger, now: float) -> list[Path]:
    """Idle first, the ledger last: an attempt that starts meanwhile has a fresh folder and is not in the
    list.
    """
    old = [(folder, idle) for folder in attempts(root) if (idle := now - last_touched(folder)) > IDLE_S]
    return [folder for folder, idle in old if is_over(folder, idle, ledger)]


def stale_aside(root: Path, ledger: Ledger, now: float) -> list[Path]:
    """What was put aside below a root long ago, and nobody has to look at any more."""
    old = [(folder, idle) for folder in put_aside(root) if (idle := now - last_touched(folder)) > ASIDE_S]
    return [folder for folder, idle in old if is_made_again(folder, idle, ledger)]


def is_made_again(folder: Path, idle_s: float, ledger: Ledger) -> bool:
    """Of a job that is dead, or waits still, what stood there before may be all that there is."""
    job = ledger.jobs.job(folder.name.partition(".")[0])
    return idle_s > STRANGER_ASIDE_S if job is None else job.state in ("done", "cancelled")


def stale_checkpoints(root: Path, ledger: Ledger, now: float) -> list[Path]:
    """Of jobs that have been dead for long, or that this ledger has not known for longer."""
    old = [(folder, idle) for folder in checkpoints(root) if (idle := now - last_touched(folder)) > ASIDE_S]
    return [folder for folder, idle in old if is_given_up(folder, idle, ledger)]


def is_given_up(folder: Path, idle_s: float, ledger: Ledger) -> bool:
    job = ledger.jobs.job(folder.name.partition(".")[0])
    return idle_s > STRANGER_ASIDE_S if job is None else job.state == "dead"


def is_through(folder: Path, ledger: Ledger) -> bool:
    job = ledger.jobs.job(folder.name.partition(".")[0])
    return job is not None and job.state in ("done", "cancelled") and job.reservation is None


def checkpoints(root: Path) -> list[Path]:
    return _named(root / FOLDER / CHECKPOINTS)


def put_aside(root: Path) -> list[Path]:
    return _named(root / FOLDER / ASIDE)


def attempts(root: Path) -> list[Path]:
    return _named(root / FOLDER)


def _named(below: Path) -> list[Path]:
    """The folders that are named by a job and an attempt; links are no folders of ours."""
    try:
        entries = list(below.iterdir())
    except OSError:
        return []
    return sorted(e for e in entries if NAME.fullmatch(e.name) and e.is_dir() and not e.is_symlink())


def last_touched(folder: Path) -> float:
    """The youngest change of the folder or anything in it (epoch seconds)."""
    youngest = folder.lstat().st_mtime
    for path in folder.rglob("*"):
        try:
            youngest = max(youngest, path.lstat().st_mtime)
        except FileNotFoundError:
            return float("inf")  # somebody works in it
    return youngest


def is_over(folder: Path, idle_s: float, ledger: Ledger) -> bool:
    match = NAME.fullmatch(folder.name)
    assert match is not None
    job = ledger.jobs.job(match[1])
    if job is None:
        return idle_s > STRANGER_IDLE_S
    if job.reservation is not None and job.reservation.attempt == int(match[2]):
        return False
    # Computed and only not yet published: never thrown away while the job may still come to its end.
    is_kept = (folder / KEPT).exists() or "publish_failed" in job.failures or job.cause == "publish_failed"
    return not is_kept or job.state in ("done", "cancelled")


def has_ended(folder: Path, ledger: Ledger) -> bool:
    """Attempt numbers are never given twice: what is retried later has another folder."""
    match = NAME.fullmatch(folder.name)
    assert match is not None
    job = ledger.jobs.job(match[1])
    if job is None or job.state not in ("done", "dead", "cancelled") or job.reservation is not None:
        return False
    return job.state == "done" or not ((folder / KEPT).exists() or job.cause == "publish_failed")
