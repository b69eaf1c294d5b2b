"""`conductor clean`: what was printed and is too old or too much, attempts that are over, empty folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from conductor.base.files import paths
from conductor.base.files.layout import Layout
from conductor.base.logs import job_output
from conductor.model.spec import Value
from conductor.node.cleanup.file_removal import is_mounted
from conductor.node.cleanup.scratch_purge import ephemeral, over_in
from conductor.node.cleanup.stale_staging import FOLDER, remove
from conductor.ports import Ledger

#: A folder that became empty a moment ago may be about to be written into.
EMPTY_FOR_S = 86_400.0
DAY_S = 86_400.0


class Cleaned(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What was removed, or would be."""

    #: Days of what bodies printed.
    printed_days: tuple[str, ...] = ()
    #: What fires of schedules printed.
    fire_outputs: int = 0
    #: Of attempts that are over.
    attempt_folders: int = 0
    empty_folders: int = 0


def clean(
    layout: Layout, ledger: Ledger, now: float, keep_days: int, max_bytes: int, *, is_dry_run: bool = False
) -> Cleaned:
    """`now`: epoch seconds by this host. Raises `Unreachable` before a job's folder is removed unjudged."""
    prune = job_output.overdue if is_dry_run else job_output.prune
    days = prune(layout.logs_dir, now, max_bytes, keep_days)
    fires = list(old_fire_outputs(layout.logs_dir, now - keep_days * DAY_S))
    folders = over_in(layout, [r for r in layout.roots if is_mounted(layout, f"{r}:x")], ledger, now)
    if not is_dry_run:
        for file in fires:
            file.unlink(missing_ok=True)
        folders = remove(folders)
    empty = 0
    for root in ephemeral(layout):
        empty += remove_empty(paths.root_folder(layout, root), now - EMPTY_FOR_S, is_dry_run=is_dry_run)
    return Cleaned(
        printed_days=tuple(day.name for day in days),
        fire_outputs=len(fires),
        attempt_folders=len(folders),
        empty_folders=empty,
    )


def old_fire_outputs(logs_dir: Path, before: float) -> Iterator[Path]:
    for file in sorted((logs_dir / "schedules").glob("*/*.out")):
        with suppress(OSError):
            if file.lstat().st_mtime < before:
                yield file


def remove_empty(root: Path, before: float, *, is_dry_run: bool) -> int:
    """Folders below it in which nothing lies, and lay at that time; one that is left empty by them too. Links
    are not followed."""
    gone = set[Path]()
    for name, names, files in os.walk(root, topdown=False):
        here = Path(name)
        if here == root or here.relative_to(root).parts[0] == FOLDER:
            continue
        is_empty = not files and all(here / each in gone for each in names)
        if is_empty and gone_or_old(here, before, bool(names)):
            with suppress(OSError):  # somebody was quicker, or writes there
                if not is_dry_run:
                    here.rmdir()
                gone.add(here)
    return len(gone)


def gone_or_old(folder: Path, before: float, had_folders: bool) -> bool:
    """What held folders that went was changed by that, just now."""
    if had_folders:
        return True
    with suppress(OSError):
        return folder.lstat().st_mtime < before
    return False
