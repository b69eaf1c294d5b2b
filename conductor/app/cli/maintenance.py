"""What keeps the house in order: `conductor rotate`. Each may be a schedule."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show

if TYPE_CHECKING:
    from conductor.base.settings.settings import Settings
    from conductor.recovery.rotate import Rotated

DAY_S = 86_400


def register(app: typer.Typer) -> None:
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
    sent = upload(settings, now)
    if as_json:
        emit({**vars_of(result), "uploaded": sent})
    else:
        show(lines(result, sent))
    raise typer.Exit(1 if result.busy else 0)


def vars_of(result: Rotated) -> dict[str, object]:
    from msgspec import structs

    return structs.asdict(result)


def upload(settings: Settings, now: float) -> int | None:
    """Archives that were put into the store now; None: there is none."""
    from conductor.adapters.files.archives import FOLDER, PACKED
    from conductor.adapters.files.object_store import ObjectStore

    archive = settings.archive
    if archive.bucket is None:
        return None
    store = ObjectStore(archive.s3_url, archive.bucket, archive.object_lock_days)
    count = 0
    for name, folder in (("receipts", settings.receipts_dir), ("logs", settings.logs_dir)):
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
