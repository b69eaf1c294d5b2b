"""Whether a source file is still the one that a child loaded: its stamp then and now."""

from __future__ import annotations

import os

#: A file's time is the kernel's, which looks at its clock every few milliseconds.
CLOCK_TICK_S = 0.01
NEVER = -1


def stamp_of(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116  thirty of these between two jobs: no Path for each
    except OSError:
        return 0


def stamp_as_loaded(file: str, loaded_at: float, now: float) -> int:
    """Where the file was written since, perhaps the child has another one: then a stamp that no file has."""
    stamp = stamp_of(file)
    return NEVER if loaded_at - CLOCK_TICK_S <= stamp / 1e9 <= now else stamp
