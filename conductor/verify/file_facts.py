"""An output as it lies on disk: size and SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from conductor.base.files.fingerprint import FileState

_CHUNK = 1 << 20
#: A smaller file is read sooner than it is looked up.
NOTED_BYTES = 1 << 20

NOT_THERE = "is not there"

#: (file, what it is now) → its SHA-256, where somebody has read it in that very state.
Noted = Callable[[Path, FileState], str | None]


def nothing_noted(file: Path, state: FileState) -> str | None:
    """All is read."""
    return None


class FileFact(Struct, frozen=True, kw_only=True):
    """`fault` says why the file cannot be looked at; the rest is then empty."""

    bytes: int = 0
    sha256: str = ""
    #: It was read before, and nobody has written to it since.
    is_noted: bool = False
    fault: str | None = None


def look_at(path: Path, noted: Noted = nothing_noted, wanted: str = "") -> FileFact:
    """Size and SHA-256 of a regular file. Never raises: what is wrong with it is the answer.

    `wanted`: a note that says so stands for reading it. One that says anything else proves no fault."""
    try:
        with opened(path) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return FileFact(fault="is not a regular file")
            if facts.st_size >= NOTED_BYTES and wanted and noted(path, FileState.of(facts)) == wanted:
                return FileFact(bytes=facts.st_size, sha256=wanted, is_noted=True)
            return FileFact(bytes=facts.st_size, sha256=_sha256(file))
    except FileNotFoundError:
        return FileFact(fault=NOT_THERE)
    except OSError as e:
        is_link = e.errno == errno.ELOOP
        return FileFact(fault="is a symbolic link" if is_link else f"cannot be read: {e.strerror}")


def opened(path: Path) -> BinaryIO:
    """To read. Not through a link, and without hanging on a FIFO somebody put in its place. Raises
    `OSError`.
    """
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
