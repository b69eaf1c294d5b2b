"""What was removed because all that read it were done: one line a file, on disk before the file goes.

`receipts/NODE.removed`, JSON lines beside the receipts: with them `verify` tells a file that went from one
that is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from conductor.adapters.files.append_only import AppendOnly
from conductor.adapters.files.archives import streams
from conductor.model.spec import Value

SUFFIX = ".removed"


class RemovalNotes(Value, frozen=True, kw_only=True):
    """One file. `at`: epoch seconds by the host that removed it; `attempt`: the accepted one that made it."""

    v: Literal[1] = 1
    at: float
    path: str
    job_id: str
    attempt: int
    bytes: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RemovalNotes).decode


def note(folder: Path, node: str, facts: Iterable[RemovalNotes]) -> None:
    """Durable when it returns. Raises `OSError`."""
    text = b"".join(_encode(fact) + b"\n" for fact in facts)
    if not text:
        return
    log = AppendOnly(folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", node) + SUFFIX))
    try:
        log.append(text)
    finally:
        log.close()


def read(folder: Path) -> Iterator[RemovalNotes]:
    """All that was noted; a line that is not whole says nothing."""
    for _, lines in streams(folder, SUFFIX):
        for line in lines:
            try:
                yield _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue


def gone(folder: Path) -> frozenset[tuple[str, str, int]]:
    """(path, job, attempt) of each."""
    return frozenset((fact.path, fact.job_id, fact.attempt) for fact in read(folder))
