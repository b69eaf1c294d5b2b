"""A font to write with: the job's own, or one that most systems have."""

from __future__ import annotations

from pathlib import Path

from conductor.base.errors import BadInput
from workers.task_api.context import JobContext
from workers.task_api.toolkit import read_of

#: Where Debian, Fedora, Arch and macOS keep one that has most of the world's letters.
PLACES = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/google-noto/NotoSans-Regular.ttf",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
    "/System/Library/Fonts/Supplemental/Arial.ttf",
)


def of_text(ctx: JobContext, given: str | None) -> Path:
    """Raises `BadInput` where the job names none and the host has none of the usual ones."""
    if given is not None:
        return ctx.input(read_of(ctx, given, 0, "font"))
    if (found := usual()) is not None:
        return found
    raise BadInput(
        "args.font: no usual font is installed here: name a .ttf file among the reads, or install "
        "fonts-dejavu"
    )


def usual() -> Path | None:
    return next((Path(place) for place in PLACES if Path(place).is_file()), None)
