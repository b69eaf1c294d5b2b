"""`conductor report`: the proof of a night, as one file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings
    from conductor.base.progress import Progress
    from conductor.base.settings.endpoint_settings import Rate
    from conductor.base.signing import Signer
    from conductor.model.pilot import PilotShape
    from conductor.ports.alert_channel import AlertChannel
    from conductor.views.night.document import NightReport
    from conductor.views.night.make import NightMaker, NightSpan

DEFAULT_SINCE = "18:00"


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="18:00 (the last one), 12h, yesterday, 2026-11-28T18:00.")
    ] = DEFAULT_SINCE,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Default: now.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as one HTML file, with pictures.")
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send it through the channels of [alerts], with that file.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Work out again what a file says; exit 1 where it differs."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Files are looked at and not read, and nothing is played.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a night came to: done and verified, what is not and why, what it waited for, what it made.

    By receipts, manifests, journal and recorded ticks alone; needs no Redis. Every file that was published is
    read whole and held against its receipt. Exit 1 with --check where a figure, the text or the signature of
    the file differs, and with --send where nobody was reached.

    Example: conductor report --html night.html

    Example: conductor report --since 22:00 --until 06:00 --json

    Example: conductor report --check night.html
    """
    from conductor.base.errors import UsageError
    from conductor.base.progress import Progress
    from conductor.base.settings.engine_settings import pilot_shapes
    from conductor.base.signing import signer_of
    from conductor.node.alerts.channels import channels_of

    settings = settings_here()
    signer = signer_of(settings.redis.signing_key_env)
    with Progress() as progress:
        maker = _maker(settings.for_code, settings.rates, pilot_shapes(settings.engines), progress)
        if check is not None:
            if html is not None or send or until is not None or since != DEFAULT_SINCE:
                raise UsageError("--check is about the time that the file names: leave out the other options")
            is_good = _check(maker, check, signer, quick, as_json)
            raise typer.Exit(0 if is_good else 1)
        found = maker.figures(_night(since, until, quick))
        if html is not None:
            found = _written(found, html, settings.for_code, signer)
    _say(found, html, as_json)
    if send:
        channels = channels_of(settings.alerts, settings.project, settings.secrets.variables)
        raise typer.Exit(0 if _is_sent(found, html, channels) else 1)


def _maker(
    settings: CodeSettings, rates: Mapping[str, Rate], shapes: Mapping[str, PilotShape], progress: Progress
) -> NightMaker:
    from conductor.analysis.replay.recording import folder_of
    from conductor.views.night.make import NightMaker, NightPlace
    from conductor.views.night.what_if import player
    from conductor.views.stuck import tasks_of

    ticks = folder_of(settings)
    place = NightPlace(
        project=settings.project.name,
        receipts_dir=settings.receipts_dir,
        layout=settings,
        ticks=ticks,
        catalogue=tasks_of(settings),
    )
    return NightMaker(
        place=place,
        play=player(ticks, rates, shapes),
        on_read=progress.counted("reading the record", "line"),
        on_looked=progress.of("reading files", "file"),
    )


def _night(since: str, until: str | None, quick: bool) -> NightSpan:
    """Raises `UsageError`."""
    from conductor.base.errors import UsageError
    from conductor.base.moments import moment_of
    from conductor.views.night.clock import host_clock
    from conductor.views.night.make import NightSpan

    now = time.time()
    try:
        ends = now if until is None else min(now, moment_of(until, now))
        begins = moment_of(since, ends)
    except ValueError as e:
        raise UsageError(str(e)) from None
    if begins >= ends:
        raise UsageError("--since is not before --until: there is no time in between")
    clock = host_clock(begins, ends)
    return NightSpan(
        since=begins, until=ends, clock=clock, made_at=now, is_deep=not quick, is_played=not quick
    )


def _written(found: NightReport, html: Path, layout: CodeSettings, signer: Signer | None) -> NightReport:
    """With its pictures. Raises `ConfigError` where the file cannot be written."""
    from msgspec.structs import replace

    from conductor.base.errors import ConfigError
    from conductor.base.files.safe_open import write_whole
    from conductor.views.night.outputs import with_posters
    from conductor.views.night.page import encoded, render

    outputs, pictures = with_posters(found.outputs, layout)
    found = replace(found, outputs=outputs)
    seal = "" if signer is None else signer.seal_report(encoded(found).encode())
    try:
        write_whole(html, render(found, pictures, seal).encode())
    except OSError as e:
        raise ConfigError(f"{html} cannot be written: {e.strerror}") from None
    return found


def _say(found: NightReport, html: Path | None, as_json: bool) -> None:
    from conductor.views.as_json import complete
    from conductor.views.night.text import lines

    if as_json:
        emit({**complete(found), "file": None if html is None else str(html.resolve())})
        return
    show(lines(found))
    if html is not None:
        show([f"written: {html}"], err=True)


def _check(maker: NightMaker, file: Path, signer: Signer | None, quick: bool, as_json: bool) -> bool:
    from conductor.views.night.check import check_lines, checked
    from conductor.views.night.clock import host_clock

    def again(theirs: NightReport) -> NightReport:
        clock = host_clock(theirs.since, theirs.until)
        return maker.figures(maker.span_of(theirs, clock, is_quick=quick))

    found = checked(file, again, signer)
    if as_json:
        emit(found)
    else:
        show(check_lines(found))
    return found.is_good


def _is_sent(found: NightReport, html: Path | None, channels: tuple[AlertChannel, ...]) -> bool:
    """Through each channel. False where one did not take it, or there is none."""
    from conductor.base.text import printable
    from conductor.model.alerts import AlertMessage
    from conductor.views.night.text import lines

    message = AlertMessage(
        title=f"{found.project}: {printable(found.headline)}",
        body="\n".join(map(printable, lines(found))),
        is_over=all(answer.tone != "act" for answer in found.answers),
        project=found.project,
        attachment="" if html is None else str(html.resolve()),
    )
    faults = {channel.name: channel.send(message) for channel in channels}
    words = [f"{name}: {f'did not arrive: {fault}' if fault else 'sent'}" for name, fault in faults.items()]
    none = "there is no channel: [alerts] channels_env or command in conductor.toml names one"
    show(words or [none], err=True)
    return bool(faults) and not any(faults.values())
