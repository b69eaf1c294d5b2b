"""The file that holds what a detached run says on stdout and stderr, kept small for as long as it runs.

Log lines are in `logs/NAME.jsonl` too; what only this file has is the traceback of a death and what libraries
in C say. Everything below the run writes the same open file, whatever its name: so it is copied and emptied,
not put aside.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Of the file, and of the one that is kept beside it.
MOST_BYTES = 5_000_000
STDERR = 2


def keep_small(file: Path, most_bytes: int = MOST_BYTES, fd: int = STDERR) -> bool:
    """Once `fd` writes to `file` and that is larger: its last `most_bytes` become `NAME.1.log`, and it begins
    anew.

    True when that was done. What is said in between (milliseconds) is lost here. Where the disk has no room
    for the copy, there is none.
    """
    try:
        size = os.fstat(fd).st_size
        if size <= most_bytes or not os.path.samestat(os.fstat(fd), file.stat()):
            return False  # also a terminal, a pipe, somebody's own file: theirs
    except OSError:
        return False
    with suppress(OSError):
        _copy_end(file, size - most_bytes)
    with suppress(OSError):
        # Its writers append: the next line of each is the first again.
        os.truncate(file, 0)
        return True
    return False


def predecessor(file: Path) -> Path:
    return file.with_name(f"{file.stem}.1{file.suffix}")


def _copy_end(file: Path, start: int) -> None:
    """From the first whole line after `start` on."""
    draft = predecessor(file).with_suffix(".draft")
    try:
        with file.open("rb") as source:
            source.seek(start)
            end = source.read()
        draft.write_bytes(end.partition(b"\n")[2] or end)
        draft.replace(predecessor(file))
    finally:
        draft.unlink(missing_ok=True)
