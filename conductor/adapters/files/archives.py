"""Archives of files that only grow: what is old of `FOLDER/NAME` lies in `FOLDER/archive/STAMP.NAME.gz`.

The first line of the file that is left says what was taken out of it. An archive counts when that line names
it, or when it bears its final name: until the shorter file has taken the place of the longer one it has
neither. So whoever looks for archives first and then opens a file meets each line once, whatever is moved
meanwhile.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from conductor.base.logs.events import emit_event
from conductor.model.spec import Value

FOLDER = "archive"
PACKED = ".gz"
#: Behind the name of an archive that is being made, or that was made by somebody who did not come to its end.
PART = ".part"
#: How the line begins that says what was taken out.
MARK = b'{"archived":'
#: So much before the place where a file was cut tells which file it was.
MARK_BYTES = 4096
_MOST_HEADER_BYTES = 1 << 20
_CHUNK = 1 << 20


class ArchivedPart(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What was taken out at one time."""

    #: Name of the archive in the folder of archives.
    file: str
    lines: int
    #: Of the file as it was: its inode, from where to where it was taken, and a hash over what lay before
    #: that.
    ino: int
    begins: int
    until: int
    mark: str
    #: Of what is in the archive, unpacked.
    sha256: str


class ArchiveHeader(Value, frozen=True, kw_only=True, omit_defaults=False):
    archived: tuple[ArchivedPart, ...]


_header = msgspec.json.Decoder(ArchiveHeader).decode
_to_json = msgspec.json.Encoder().encode


def header_line(parts: tuple[ArchivedPart, ...]) -> bytes:
    return _to_json(ArchiveHeader(archived=parts)) + b"\n"


def header_of(fd: int) -> tuple[tuple[ArchivedPart, ...], int]:
    """What was taken out of an open file, and how long the line is that says so; (), 0: nothing was."""
    begins = os.pread(fd, len(MARK), 0)
    if begins != MARK:
        return (), 0
    line = os.pread(fd, _MOST_HEADER_BYTES, 0).partition(b"\n")[0]
    try:
        return _header(line).archived, len(line) + 1
    except msgspec.DecodeError:
        return (), len(line) + 1


def mark_of(fd: int, until: int) -> str:
    """Of a file that was cut there: over what lay before."""
    length = min(MARK_BYTES, until)
    return hashlib.sha256(os.pread(fd, length, until - length)).hexdigest()[:32]


def streams(folder: Path, suffix: str) -> Iterator[tuple[Path, BinaryIO]]:
    """Every file of that suffix, each behind its archives, the eldest first; then archives whose file is
    gone. Closed by this generator. Lines that begin with `MARK` are none of the record's.

    Raises `OSError`, also for an archive that is damaged."""
    if not folder.is_dir():
        return
    # First: see above.
    final = sorted(path.name for path in (folder / FOLDER).glob(f"*{suffix}{PACKED}"))
    seen = set[str]()
    for file in sorted(folder.glob(f"*{suffix}")):
        with file.open("rb") as live:
            named = [part.file for part in header_of(live.fileno())[0]]
            theirs = [name for name in final if name.partition(".")[2] == f"{file.name}{PACKED}"]
            names = sorted({*named, *theirs})
            seen.update(names)
            yield from _archives(folder / FOLDER, names)
            yield file, live
    yield from _archives(folder / FOLDER, [name for name in final if name not in seen])


def _archives(folder: Path, names: Iterable[str]) -> Iterator[tuple[Path, BinaryIO]]:
    for name in names:
        try:
            archive = unpacked(folder / name)
        except FileNotFoundError:
            words = "{file} is not there, and what it holds counts for nothing: bring it back"
            emit_event("archive.missing", words, file=str(folder / name))
            continue
        with archive:
            yield folder / name, archive


def unpacked(file: Path) -> BinaryIO:
    """As a file of its own, which can be read anywhere. Raises `OSError`, also where it is damaged."""
    target = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  the caller's to close
    try:
        with _opened(file) as packed, gzip.open(packed) as text:
            shutil.copyfileobj(text, target, _CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        target.close()
        raise OSError(f"{file} is damaged ({e}): take it from a backup") from None
    except OSError:
        target.close()
        raise
    target.seek(0)
    return target


def _opened(file: Path) -> BinaryIO:
    """Its last step, the name, may just be made."""
    for place in (file, file.with_name(file.name + PART)):
        try:
            return place.open("rb")
        except FileNotFoundError:
            continue
    return file.open("rb")
