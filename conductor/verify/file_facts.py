"""An output as it lies on disk: size and SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

_CHUNK = 1 << 20

NOT_THERE = "is not there"


class FileFact(Struct, frozen=True, kw_only=True):
    """`fault` says why the file cannot be looked at; the rest is then empty."""

    bytes: int = 0
    sha256: str = ""
    fault: str | None = None


def look_at(path: Path) -> FileFact:
    """Size and SHA-256 of a regular file. Never raises: what is wrong with it is the answer."""
    try:
        with opened(path) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return FileFact(fault="is not a regular file")
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
