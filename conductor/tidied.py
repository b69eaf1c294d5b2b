"""What was removed because all that read it were done: one line a file, on disk before the file goes.

`receipts/NODE.tidied`, JSON lines beside the receipts: with them `verify` tells a file that went from one that is lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from conductor.model.spec import Value

SUFFIX = ".tidied"


class Tidied(Value, frozen=True, kw_only=True):
    """One file. `at`: epoch seconds by the host that removed it; `attempt`: the accepted one that made it."""

    v: Literal[1] = 1
    at: float
    path: str
    job_id: str
    attempt: int
    bytes: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Tidied).decode


def note(folder: Path, node: str, facts: Iterable[Tidied]) -> None:
    """Durable when it returns. Raises `OSError`."""
    text = b"".join(_encode(fact) + b"\n" for fact in facts)
    if not text:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", node) + SUFFIX)).open("a+b") as file:
        # A line that a crash has cut is ended: it says nothing, and nothing of it was acted upon.
        file.write(b"\n" + text if _is_cut(file) else text)
        file.flush()
        os.fsync(file.fileno())


def _is_cut(file: BinaryIO) -> bool:
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def read(folder: Path) -> Iterator[Tidied]:
    """All that was noted; a line that is not whole says nothing."""
    for file in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        for line in file.read_bytes().splitlines():
            try:
                yield _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue


def gone(folder: Path) -> frozenset[tuple[str, str, int]]:
    """(path, job, attempt) of each."""
    return frozenset((fact.path, fact.job_id, fact.attempt) for fact in read(folder))
