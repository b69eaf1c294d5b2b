"""What keeps the house in order: `conductor clean`, `purge-scratch`, `rotate`. Each may be a schedule."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_here, settings_here, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from conductor.base.settings.schedule_settings import ArchiveSettings
    from conductor.node.cleanup.scratch_purge import PurgeableRoot
    from conductor.recovery.rotate import Rotated

DAY_S = 86_400


def register(app: typer.Typer) -> None:
    app.command()(clean)
    app.command("purge-scratch")(purge_scratch)
    app.command()(rotate)


def rotate(
    keep_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="What is younger stays. Default: archive.keep_days.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put what is old of receipts, journal and logs into dated archives.

    All that reads the record reads these too. May run while everything runs. With [archive] bucket they are
    copied there. Exit 1 where a file was held by somebody, and is left for the next time.

    Examples: conductor rotate; conductor rotate --keep-days 7
    """
    from conductor.base.cron import stamp
    from conductor.base.errors import UsageError
    from conductor.base.logs.logs import set_up
    from conductor.recovery.rotate import rotate as run

    settings = settings_here()
    days, now = settings.archive.keep_days if keep_days is None else keep_days, time.time()
    if not 0 <= days < 100_000:
        raise UsageError(f"--keep-days {days:g}: from 0 on")
    set_up(settings.logs_dir, "maintenance", "WARNING")
    result = run(settings.layout, now - days * DAY_S, stamp(now))
    folders = {"receipts": settings.receipts_dir, "logs": settings.logs_dir}
    sent = upload(settings.archive, folders, now)
    if as_json:
        emit({**vars_of(result), "uploaded": sent})
    else:
        show(lines(result, sent))
    raise typer.Exit(1 if result.busy else 0)


def vars_of(result: Rotated) -> dict[str, object]:
    from msgspec import structs

    return structs.asdict(result)


def upload(archive: ArchiveSettings, folders: Mapping[str, Path], now: float) -> int | None:
    """Archives that were put into the store now; None: there is none."""
    from conductor.adapters.files.archives import FOLDER, PACKED
    from conductor.adapters.files.object_store import ObjectStore

    if archive.bucket is None:
        return None
    store = ObjectStore(archive.s3_url, archive.bucket, archive.object_lock_days)
    count = 0
    for name, folder in folders.items():
        for file in sorted((folder / FOLDER).glob(f"*{PACKED}")):
            count += store.keep(file, f"{archive.prefix}{name}/{file.name}", now)
    return count


def lines(result: Rotated, sent: int | None) -> list[str]:
    from conductor.base.text import many

    if result.archives:
        of = f"{many(result.receipts, 'receipt')}, {many(result.notes + result.removals, 'note')} and "
        out = [f"{of}{many(result.logs, 'log')} into {many(len(result.archives), 'archive')}"]
    else:
        out = ["nothing is old enough to be archived"]
    if sent is not None:
        out.append(f"{many(sent, 'archive')} copied to the store")
    return [*out, *(f"left: {each}" for each in result.busy)]


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, remove nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what was printed and is too old or too much, folders of attempts that are over, empty ones.

    By age and size as [clean] says. Outputs, receipts and what a job still needs are not touched.

    Examples: conductor clean; conductor clean --dry-run
    """
    from conductor.base.text import many
    from conductor.node.cleanup.old_files import clean as run

    with ledger_here() as (settings, ledger):
        rule = settings.clean
        found = run(settings.layout, ledger, time.time(), rule.keep_days, rule.max_bytes, is_dry_run=dry_run)
    if as_json:
        emit(found)
        return
    parts = [
        many(len(found.printed_days), "day") + " of what jobs printed" if found.printed_days else "",
        many(found.fire_outputs, "output") + " of schedules" if found.fire_outputs else "",
        many(found.attempt_folders, "folder") + " of attempts that are over" if found.attempt_folders else "",
        many(found.empty_folders, "empty folder") if found.empty_folders else "",
    ]
    words = "would be removed" if dry_run else "removed"
    there = ", ".join(filter(None, parts))
    show([f"{words}: {there}" if there else "nothing is to be cleaned"])


def purge_scratch(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the numbers, remove nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove at once what this host's node would remove by and by: files that all readers have read, and
    folders of attempts that are over.

    What a job that waits or runs still needs stays, and so do results. The numbers come first; off a terminal
    --force is needed.

    Examples: conductor purge-scratch --dry-run; conductor purge-scratch --force
    """
    from conductor.node.cleanup.scratch_purge import purge, purgeable
    from conductor.node.queue_plan import node_name

    files = folders = 0
    with ledger_here() as (settings, ledger):
        node, now = node_name(settings.node), time.time()
        roots = purgeable(settings.layout, ledger, node, now)
        has_any = any(root.file_bytes or root.folders for root in roots)
        if not as_json:
            show(
                purge_lines(roots)
                if has_any
                else ["nothing on scratch can go: all of it is needed, or a result"]
            )
        if has_any and not dry_run:
            confirm(force, as_json)
            files, folders = purge(settings.layout, ledger, node, now)
    if as_json:
        emit({"roots": roots, "files": files, "folders": folders})
    elif has_any and not dry_run:
        from conductor.base.text import many

        show([f"removed: {many(files, 'file')}, {many(folders, 'folder')}"])


def confirm(is_forced: bool, as_json: bool) -> None:
    """Raises `UsageError` off a terminal."""
    import sys

    from conductor.base.errors import UsageError

    if is_forced:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError("nothing was removed: --force removes it without asking")
    if not typer.confirm("remove it?"):
        raise typer.Exit(1)


def purge_lines(roots: Sequence[PurgeableRoot]) -> list[str]:
    from conductor.base.text import many, size

    return [
        f"{root.root}: {size(root.file_bytes)} of files that all have read, {many(root.folders, 'folder')} "
        f"of attempts that are over ({size(root.folder_bytes)})"
        for root in roots
    ]
