"""What a conductor decided, decided again: recorded ticks, without Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show


def register(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    recording: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER|FILE", help="Default: the project's own ticks.", show_default=False),
    ] = None,
    tick: Annotated[
        int | None, typer.Option(metavar="N", help="Show the Nth; negative: from the end.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Show the last tick until then: 02:14, or 2026-11-22T02:14."),
    ] = None,
    job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Show what that job waited for, all along or --at.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide recorded ticks again, or show one, or why a job waited. Exit 1 where the answer is another one
    now.

    Needs no Redis: a tick holds all that its decision went by.

    Example: conductor replay --job k3v7 --at 02:14
    """
    from conductor.analysis.replay.recording import files_of, folder_of
    from conductor.base.errors import NothingFound, UsageError

    folder = recording or folder_of(settings_here().layout)
    if tick is not None and (at is not None or job is not None):
        raise UsageError("--tick is one tick by itself: leave out --at and --job, or it")
    if recording is not None and not folder.exists():
        raise UsageError(f"{folder} does not exist: give a folder of recorded ticks, or one file of it")
    if not folder.exists() or (folder.is_dir() and not files_of(folder)):
        raise NothingFound(
            f"{folder} holds no recorded ticks: `conductor conduct` records them (ticks.is_on)"
        )
    if job is not None:
        _job(folder, job, at, as_json)
    elif tick is not None or at is not None:
        _one(folder, tick, at, as_json)
    else:
        _all(folder, as_json)


def _all(folder: Path, as_json: bool) -> None:
    from conductor.analysis.replay.recording import read_ticks
    from conductor.analysis.replay.replay import lines, replay

    found = replay(read_ticks(folder))
    if as_json:
        emit(found)
    else:
        show(lines(found))
    raise typer.Exit(int(found.difference is not None))


def _one(folder: Path, number: int | None, at: str | None, as_json: bool) -> None:
    from conductor.analysis.replay.recording import read_points
    from conductor.analysis.replay.replay import difference_of
    from conductor.analysis.replay.replay_moments import lines_of, tick_at, tick_number

    points, asked = read_points(folder), None if at is None else _time(folder, at)
    found, moment = tick_number(points, number) if number is not None else tick_at(points, asked or 0.0)
    words = difference_of(found)
    if as_json:
        emit({"moment": moment, "difference": words})
    else:
        show(lines_of(moment, asked))
        show([f"now: {words}" if words else "decided again: the same"])
    raise typer.Exit(int(words is not None))


def _job(folder: Path, job: str, at: str | None, as_json: bool) -> None:
    from conductor.analysis.replay.recording import read_points
    from conductor.analysis.replay.replay_moments import class_of_job, lines_of_story, story

    job_id, classes = class_of_job(read_points(folder, job), job)
    found = story(read_points(folder, job_id), job_id, classes, None if at is None else _time(folder, at))
    if as_json:
        emit({"job_id": job_id, "moments": found})
    else:
        show(lines_of_story(job_id, found))


def _time(folder: Path, text: str) -> float:
    from conductor.analysis.replay.recording import last_at
    from conductor.analysis.replay.replay_moments import moment_of

    return moment_of(text, last_at(folder))
