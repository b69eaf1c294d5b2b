"""What makes Redis disposable, and the project movable: rebuild, backup, restore."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_here, settings_here, show

if TYPE_CHECKING:
    from conductor.record.dispatched_manifests import Source
    from conductor.recovery.backup import Moved
    from conductor.recovery.rebuild import Rebuilt


def register(app: typer.Typer) -> None:
    for command in (rebuild, backup, restore):
        app.command()(command)


def rebuild(
    manifest: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MANIFEST]…", help="Default: all that was dispatched from here."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="backlog:NAME", help="Default: where it was dispatched to, else its workflow's name."
        ),
    ] = None,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing", help="Go on without manifests that are kept nowhere, or have become faulty."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give an emptied Redis its jobs back, from manifests and receipts.

    Done stays done, dead stays dead, what runs goes on, the rest waits. Twice is once; nothing need be
    stopped. Example: conductor rebuild Example: conductor rebuild manifests/videos.jsonl --target
    backlog:night
    """
    from conductor.base.settings.limits import limits_of
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.recovery.rebuild import rebuild as run

    with ledger_here(is_lenient=False) as (settings, ledger):
        chosen, warnings = sources(settings.receipts_dir, manifest or [], target, skip_missing)
        catalogue, roots = catalogue_of(settings.for_code), settings.layout.ephemeral_roots()
        limits, lease_s = limits_of(settings), settings.timing.lease_s
        result = run(
            ledger,
            settings.receipts_dir,
            catalogue,
            chosen,
            lease_s,
            ephemeral_roots=roots,
            limits=limits,
            is_lenient=skip_missing,
        )
    for warning in (*warnings, *result.warnings):
        show([f"note: {warning}"], err=True)
    if as_json:
        emit(result)
    else:
        show(lines(result))


ArchiveFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .tar.gz.")]


def backup(
    file: ArchiveFile,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Manifests, receipts, what was dispatched, and the settings, in one file.

    Neither the outputs nor Redis are in it: copy the first yourself; the second is rebuilt from these. May be
    taken while everything runs.

    Example: conductor backup /mnt/nas/night.tar.gz
    """
    from conductor.recovery.backup import backup as run

    moved(run(settings_here().layout, file, force), "saved in", as_json)


def restore(
    file: ArchiveFile,
    force: Annotated[bool, typer.Option("--force", help="Also where receipts are there already.")] = False,
    with_settings: Annotated[
        bool, typer.Option("--settings", help="Take its conductor.toml too, which says what code runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the manifests and receipts of a backup where this project has them; then `conductor rebuild`.

    Example: conductor restore /mnt/nas/night.tar.gz
    """
    from conductor.recovery.backup import restore as run

    moved(run(settings_here(begins=True).layout, file, force, with_settings), "restored from", as_json)
    typer.echo("next: conductor rebuild", err=True)


def moved(result: Moved, how: str, as_json: bool) -> None:
    from conductor.base.text import many, size

    for note in result.notes:
        show([f"note: {note}"], err=True)
    if as_json:
        emit(result)
        return
    kept = f" ({result.kept} as dispatched beside them)" if result.kept else ""
    files = f"{many(result.manifests, 'manifest')}{kept} and {many(result.receipts, 'file')} of receipts"
    show([f"{files} {how} {result.file} ({size(result.bytes)}); outputs are not in it"])


def sources(
    receipts_dir: Path, manifests: list[Path], target: str | None, skip_missing: bool
) -> tuple[list[Source], list[str]]:
    """What to rebuild, and what had to be left out. Raises `ManifestError`, `UsageError`."""
    from conductor.base.errors import ManifestError, UsageError
    from conductor.base.text import many, numbered
    from conductor.dispatch.backlog_name import backlog_name
    from conductor.record.journal import Journal

    dispatched = Journal(receipts_dir).ledger_match(None).sources
    if manifests:
        name = backlog_name(target) if target else None
        return [source for path in manifests for source in of_manifest(path, name, dispatched)], []
    if target:
        raise UsageError("--target goes with manifests: name them")
    if not dispatched:
        raise UsageError(f"nothing was dispatched from here, by {receipts_dir}: name the manifests")
    chosen = [held for source in dispatched if (held := as_it_was(source)) is not None]
    there = {(source.sha256, source.backlog) for source in chosen}
    gone = [source.manifest for source in dispatched if (source.sha256, source.backlog) not in there]
    if gone and not skip_missing:
        raise ManifestError(
            f"of {many(len(dispatched), 'manifest')} dispatched from here "
            f"{numbered(len(gone), 'is', 'are')} missing; bring back what is missing (git, or "
            "`conductor restore`), or leave it out with --skip-missing",
            tuple(f"{path} is missing" for path in gone),
        )
    return chosen, [f"{path} is missing: left out" for path in gone]


def as_it_was(source: Source) -> Source | None:
    """To be read from what is sound: its own copy, or the manifest, which may say something else by now.
    None: neither is there."""
    from msgspec.structs import replace

    content = source.content()
    if content is not None and content != source.manifest:
        return source
    return replace(source, kept=None) if source.manifest.is_file() else None


def of_manifest(path: Path, backlog: str | None, dispatched: tuple[Source, ...]) -> list[Source]:
    """All that was dispatched from it, and what it says now where that is something else."""
    from conductor.dispatch.dispatch import default_backlog
    from conductor.record.dispatched_manifests import Source
    from conductor.record.kept_manifests import has

    if backlog is not None:
        return [Source(manifest=path, backlog=backlog)]
    known = [source for source in dispatched if source.manifest == path.resolve()]
    held = [found for source in known if (found := as_it_was(source)) is not None]
    if path.is_file() and not any(has(path, source.sha256) for source in known):
        held.append(Source(manifest=path, backlog=known[-1].backlog if known else default_backlog(path)))
    return held or [Source(manifest=path, backlog=default_backlog(path))]


def lines(result: Rebuilt) -> list[str]:
    out: list[str] = []
    named = Counter((one.backlog, one.manifest) for one in result.manifests)
    for one in result.manifests:
        several = (
            f" (as it was dispatched as {one.sha256[:8]})" if named[one.backlog, one.manifest] > 1 else ""
        )
        kinds = {"done": one.done, "dead": one.dead, "cancelled": one.cancelled, "waiting": one.waiting}
        words = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        back = (
            f"{one.new} of {one.jobs} jobs put back ({words})"
            if one.new
            else f"all of its {one.jobs} jobs are there"
        )
        out.append(f"backlog:{one.backlog}: {one.manifest}{several}: {back}")
    if result.accepted:
        out.append(f"{result.accepted} accepted by receipts that the ledger had not heard of")
    if result.settles_s:
        out.append(f"for {result.settles_s:g} s nothing new starts: workers claim what they still run")
    return out
