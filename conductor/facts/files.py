"""An output as it lies on disk: size, SHA-256, whether JSON in it parses."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

import orjson
from msgspec import Struct

_CHUNK = 1 << 20
#: A JSON document above this is not a result but data; it is hashed, not parsed.
MAX_JSON_BYTES = 256 << 20

NOT_THERE = "is not there"


class FileFact(Struct, frozen=True, kw_only=True):
    """`fault` says why the file cannot be looked at; the rest is then empty."""

    bytes: int = 0
    sha256: str = ""
    fault: str | None = None


def look_at(path: Path) -> FileFact:
    """Size and SHA-256 of a regular file. Never raises: what is wrong with it is the answer."""
    try:
        with _opened(path) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return FileFact(fault="is not a regular file")
            return FileFact(bytes=facts.st_size, sha256=_sha256(file))
    except FileNotFoundError:
        return FileFact(fault=NOT_THERE)
    except OSError as e:
        is_link = e.errno == errno.ELOOP
        return FileFact(fault="is a symbolic link" if is_link else f"cannot be read: {e.strerror}")


def _opened(path: Path) -> BinaryIO:
    # Not through a link, and without hanging on a FIFO somebody put in its place.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def json_fault(path: Path) -> str | None:
    """Why a `.json` or `.jsonl` output does not parse, or None."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        with path.open("rb") as file:
            if path.suffix == ".json":
                orjson.loads(file.read())
                return None
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        orjson.loads(line)
                    except orjson.JSONDecodeError as e:
                        return f"line {number} is not JSON: {e}"
    except orjson.JSONDecodeError as e:
        return f"is not JSON: {e}"
    except OSError as e:
        return f"cannot be read: {e.strerror}"
    return None
