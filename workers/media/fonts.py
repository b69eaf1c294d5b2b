"""A font to write with: the job's own, or one that most systems have."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
#: The number of a family among a font's names, and how large a table of them may be.
_FAMILY, _MOST_NAMES = 1, 1 << 20


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


def alone(ctx: JobContext, font: Path) -> Path:
    """A folder with nothing in it but this font: libass reads every file beside one into memory."""
    folder = ctx.scratch / "fonts"
    folder.mkdir(exist_ok=True)
    link = folder / f"font{font.suffix.lower()}"
    link.unlink(missing_ok=True)
    link.symlink_to(font)
    return folder


def family(font: Path) -> str | None:
    """By which subtitles name it: the first family in its table of names. None: it has none that can be
    read."""
    try:
        with font.open("rb") as file:
            names = _names_table(file)
    except (OSError, struct.error):
        return None
    return next((text for number, text in names if number == _FAMILY and text), None)


def _names_table(file: BinaryIO) -> list[tuple[int, str]]:
    """(What it names, the name) as OpenType has them. Raises `struct.error` where it breaks off."""
    if file.read(4) == b"ttcf":
        file.seek(12)
        file.seek(*struct.unpack(">I", file.read(4)))
        file.read(4)
    (tables,) = struct.unpack(">H6x", file.read(8))
    for _ in range(tables):
        tag, at, length = struct.unpack(">4s4xII", file.read(16))
        if tag == b"name":
            file.seek(at)
            return list(_names(file.read(min(length, _MOST_NAMES))))
    return []


def _names(table: bytes) -> Iterator[tuple[int, str]]:
    count, strings = struct.unpack_from(">2xHH", table)
    for entry in range(count):
        platform, number, length, at = struct.unpack_from(">H4xHHH", table, 6 + 12 * entry)
        raw = table[strings + at : strings + at + length]
        yield number, raw.decode("mac-roman" if platform == 1 else "utf-16-be", "replace")
