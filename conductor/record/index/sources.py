"""The files of the record, read on from where they were read to the last time."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

#: Of a file so much of its beginning, and of what lies before the place, says whether it is still the same.
MARK_BYTES = 256
#: A line longer than this is none of the record's.
MOST_LINE_BYTES = 64 << 20


class Rewritten(Exception):
    """A file does not hold any more what was read from it: all has to be read again."""


def lines_since(conn: sqlite3.Connection, file: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines that came since, each with the place behind it; `reached` has to be told of that.

    A last line without its newline may be under way: it is read the next time. Raises `Rewritten`, and
    `OSError`."""
    known = conn.execute("SELECT at, mark FROM source WHERE name = ?", (file.name,)).fetchone()
    at, mark = known or (0, "")
    with file.open("rb") as opened:
        if not is_same(opened.fileno(), at, mark):
            raise Rewritten
        if os.fstat(opened.fileno()).st_size == at:
            return
        opened.seek(at)
        while line := opened.readline(MOST_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) < MOST_LINE_BYTES:
                return
            at += len(line)
            yield line, at


def reached(conn: sqlite3.Connection, file: Path, at: int) -> None:
    """In the transaction that has what was read."""
    with file.open("rb") as opened:
        mark = mark_of(opened.fileno(), at)
    conn.execute("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", (file.name, at, mark))


def refuse_gone(conn: sqlite3.Connection, there: set[str]) -> None:
    """Raises `Rewritten` where a file is gone that was read."""
    for (name,) in conn.execute("SELECT name FROM source WHERE name LIKE '%.json%' OR name LIKE '%.journal'"):
        if name not in there:
            raise Rewritten


def is_same(fd: int, at: int, mark: str) -> bool:
    """Whether an open file still holds what was read of it, up to `at`."""
    return os.fstat(fd).st_size >= at and (not at or mark_of(fd, at) == mark)


def mark_of(fd: int, at: int) -> str:
    """A file that was put aside, and another one begun under its name, has another mark; one that was
    written again with the same lines has the same."""
    begins, ends = os.pread(fd, min(MARK_BYTES, at), 0), os.pread(fd, MARK_BYTES, max(0, at - MARK_BYTES))
    return hashlib.sha256(begins + ends[: at - max(0, at - MARK_BYTES)]).hexdigest()[:32]
