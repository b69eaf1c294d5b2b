"""Takes what is old out of a file that only grows, into an archive: while its writer appends, and so that it
may be cut off at any instruction.

In this order, each on disk before the next: the archive under a name that counts for nothing; the shorter
file beside the longer one; the shorter one in its place, which is the moment from which the archive counts;
the archive's final name. Its writer holds the lock of the file while it appends (`AppendOnly`), and so does
this; where there are no locks the writer finds the other file under its name, and adds what that lacks.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from conductor.adapters.files.archives import (
    FOLDER,
    PACKED,
    PART,
    ArchivedPart,
    header_line,
    header_of,
    mark_of,
)
from conductor.base.files.safe_open import make_own

LOCK = ".rotate.lock"
NEW = ".new"
#: A writer that was stopped while it holds its file: the file is left for the next time.
PATIENCE_S = 2.0
_PAUSE_S = 0.005
#: A file names its last archives; the others are found by their names. A writer that has not looked for
#: longer than that adds again what it wrote.
_NAMED = 64
_CHUNK = 1 << 20

#: Is this line old? Those in front go, up to the first that is not.
IsOld = Callable[[bytes], bool]


class FileBusy(Exception):
    """Somebody holds the file for too long."""


@contextmanager
def one_rotation(folder: Path, *, is_shared: bool = False) -> Generator[None]:
    """Nobody else rotates in that folder meanwhile; `is_shared`: others may look too. Raises `FileBusy`."""
    make_own(folder)
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(fd, folder / LOCK, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def rotate_file(file: Path, is_old: IsOld, stamp: str, *, keeps: int = 0) -> ArchivedPart | None:
    """None: nothing of it is old. `keeps`: the last so many lines stay, however old.

    Under `one_rotation`. Raises `OSError`, `FileBusy`; then all is as it was, or as it is to be."""
    with file.open("rb+") as live:
        _lock(live.fileno(), file, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(live.fileno()), file.stat()):
            raise FileBusy(f"{file} was just exchanged")
        parts, begins = header_of(live.fileno())
        for part in parts:
            _name_finally(file.parent / FOLDER / part.file)
        until = _cut_at(live, begins, is_old, keeps)
        if until <= begins:
            return None
        return _take_out(file, live, parts, begins, until, stamp)


def sweep(folder: Path, suffix: str) -> None:
    """What somebody left who was cut off. Under `one_rotation`."""
    named = set[str]()
    for file in folder.glob(f"*{suffix}"):
        with file.open("rb") as live:
            for part in header_of(live.fileno())[0]:
                named.add(part.file)
                _name_finally(folder / FOLDER / part.file)
    for left in (folder / FOLDER).glob(f"*{suffix}{PACKED}{PART}"):
        if left.name.removesuffix(PART) not in named:
            _unlink(left)
    for left in folder.glob(f".*{suffix}{NEW}"):
        _unlink(left)


# ── the steps ─────────────────────────────────────────────────────────────────────────────────────────────


def _take_out(
    file: Path, live: BinaryIO, parts: tuple[ArchivedPart, ...], begins: int, until: int, stamp: str
) -> ArchivedPart:
    fd, folder = live.fileno(), file.parent / FOLDER
    name = f"{stamp}.{file.name}{PACKED}"
    if (folder / name).exists():
        raise FileBusy(f"{folder / name} is there already: it was rotated within this second")
    make_own(folder)
    lines, sha256 = _pack(fd, begins, until, folder / f"{name}{PART}")
    part = ArchivedPart(
        file=name,
        lines=lines,
        ino=os.fstat(fd).st_ino,
        begins=begins,
        until=until,
        mark=mark_of(fd, until),
        sha256=sha256,
    )
    draft = file.with_name(f".{file.name}{NEW}")
    _write_rest(fd, until, header_line((*parts, part)[-_NAMED:]), draft)
    _replace(draft, file)
    _name_finally(folder / name)
    return part


def _cut_at(live: BinaryIO, begins: int, is_old: IsOld, keeps: int) -> int:
    ends = [begins]
    live.seek(begins)
    for line in live:
        if not line.endswith(b"\n") or not is_old(line):
            break
        ends.append(ends[-1] + len(line))
    rest = sum(1 for _ in _following(live, ends[-1], keeps))
    return ends[max(0, len(ends) - 1 - max(0, keeps - rest))]


def _following(live: BinaryIO, at: int, most: int) -> Iterator[bytes]:
    live.seek(at)
    for _, line in zip(range(most), live, strict=False):
        yield line


def _pack(fd: int, begins: int, until: int, target: Path) -> tuple[int, str]:
    """Lines, and the hash over them."""
    lines, digest = 0, hashlib.sha256()
    with target.open("wb") as raw:
        # Neither name nor time in it: the same lines give the same archive.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            for chunk in _chunks(fd, begins, until):
                packed.write(chunk)
                digest.update(chunk)
                lines += chunk.count(b"\n")
        raw.flush()
        _sync(raw.fileno())
    _sync_folder(target.parent)
    return lines, digest.hexdigest()


def _write_rest(fd: int, begins: int, header: bytes, target: Path) -> None:
    with target.open("wb") as draft:
        draft.write(header)
        for chunk in _chunks(fd, begins, os.fstat(fd).st_size):
            draft.write(chunk)
        draft.flush()
        os.fchmod(draft.fileno(), os.fstat(fd).st_mode & 0o777)
        _sync(draft.fileno())


def _chunks(fd: int, begins: int, until: int) -> Iterator[bytes]:
    while begins < until:
        chunk = os.pread(fd, min(_CHUNK, until - begins), begins)
        if not chunk:
            raise OSError("the file became shorter while it was read")
        begins += len(chunk)
        yield chunk


def _name_finally(archive: Path) -> None:
    with suppress(FileNotFoundError):
        _replace(archive.with_name(archive.name + PART), archive)


# ── what a cut may fall between ───────────────────────────────────────────────────────────────────────────


def _replace(source: Path, target: Path) -> None:
    source.replace(target)
    _sync_folder(target.parent)


def _unlink(file: Path) -> None:
    file.unlink(missing_ok=True)


def _sync(fd: int) -> None:
    os.fsync(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(fd: int, file: Path, how: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise FileBusy(f"{file} is held by somebody: it is left for the next time") from None
        except OSError:
            return  # A share without locks: its writer finds out by the file's name.
        time.sleep(_PAUSE_S)
