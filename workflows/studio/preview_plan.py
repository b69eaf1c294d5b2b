"""The jobs that show what a film is: one draws what is at one place of it, one takes pictures of all."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from conductor.base.errors import JobError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec
from conductor.planning import input_of, job, note
from workers.media import probing
from workflows.studio.kinds import PRIORITIES, needs_of

NAME = "studio"
#: What `--make` knows → suffix and bytes; the sheet is the second job's.
SUFFIXES = {
    "poster": ("jpg", 1 << 20),
    "clip": ("webm", 4 << 20),
    "gif": ("gif", 16 << 20),
    "webp": ("webp", 8 << 20),
}
SHEET = "sheet"
#: A job writes no more files than that.
MOST_STILLS = 400


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="with films")
    parser.add_argument(
        "--make",
        default="poster,clip,sheet",
        metavar="WHAT,WHAT",
        help="poster (a .jpg), clip (.webm), gif, webp (they move), sheet (pictures of all of it on one); "
        "default: %(default)s",
    )
    parser.add_argument("--width", type=int, default=320, metavar="PIXELS", help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="so many pictures, each a .jpg")
    parser.add_argument(
        "--every", type=float, metavar="S", help="a picture each so many seconds, each a .jpg"
    )


def preview_jobs(
    films: Sequence[Path], options: argparse.Namespace, settings: CodeSettings
) -> Iterator[JobSpec]:
    """Raises `UsageError`."""
    made = wanted(options.make)
    if not 32 <= options.width <= 1920 or options.width % 2:
        raise UsageError(f"--width {options.width}: an even number between 32 and 1920")
    if options.frames and options.every is not None:
        raise UsageError("--frames and --every: one of them")
    for film in films:
        if drawn := [what for what in made if what != SHEET]:
            yield drawn_job(film, drawn, options.width, settings)
        count = stills_of(film, options)
        if count or SHEET in made:
            yield stills_job(film, count, SHEET in made, options, settings)


def wanted(text: str) -> list[str]:
    made = [word.strip() for word in text.split(",") if word.strip()]
    for word in made:
        if word not in (*SUFFIXES, SHEET):
            raise UsageError(f"--make {text}: {word!r} is none of {', '.join((*SUFFIXES, SHEET))}")
    return list(dict.fromkeys(made))


def drawn_job(film: Path, made: Sequence[str], width: int, settings: CodeSettings) -> JobSpec:
    writes = {
        f"published:studio/{film.stem}-{{short}}.{suffix}": size
        for suffix, size in map(SUFFIXES.__getitem__, made)
    }
    return job(
        NAME,
        "media.preview",
        {"width": width},
        inputs=input_of(film),
        writes=writes,
        needs=needs_of("preview", settings, ram_mib=512),
        priority=PRIORITIES["preview"],
    )


def stills_of(film: Path, options: argparse.Namespace) -> int:
    """How many pictures of their own. A film that cannot be read has none: its other job says what is wrong
    with it."""
    if options.every is None:
        return checked(options.frames, "--frames", options.frames)
    if options.every <= 0:
        raise UsageError(f"--every {options.every:g}: a number of seconds above 0")
    try:
        seconds = probing.film(film, film.name).picture_s or 0.0
    except JobError as e:
        note(f"no pictures of {film.name}: {e}")
        return 0
    # The last picture begins before the film ends.
    return checked(max(1, math.ceil(seconds / options.every)), "--every", options.every)


def checked(count: int, option: str, value: float) -> int:
    if not 0 <= count <= MOST_STILLS:
        raise UsageError(f"{option} {value:g}: at most {MOST_STILLS} pictures a film")
    return count


def stills_job(
    film: Path, count: int, has_sheet: bool, options: argparse.Namespace, settings: CodeSettings
) -> JobSpec:
    args: dict[str, Any] = {"width": options.width}
    place = f"published:studio/{film.stem}-{{short}}"
    writes = {f"{place}-{number:03}.jpg": 1 << 20 for number in range(1, count + 1)}
    if has_sheet:
        writes[f"{place}-sheet.jpg"] = 4 << 20
        args["sheet"] = True
    if options.every is not None and count:
        args["every_s"] = options.every
    return job(
        NAME,
        "media.stills",
        args,
        inputs=input_of(film),
        writes=writes,
        needs=needs_of("preview", settings, ram_mib=512),
        priority=PRIORITIES["preview"],
    )
