"""What tells one state of an input file from another, without reading it: size and time of the last change."""

from __future__ import annotations

import stat
from pathlib import Path

from conductor.errors import UsageError


def fingerprint(path: Path) -> str:
    """`SIZE-MTIME_NS` of a regular file. Raises `UsageError` where there is none or it may not be looked at.

    A copy with another time of change counts as another file: reading terabytes of video to learn that nothing
    changed would cost more than the run that is saved.
    """
    try:
        facts = path.stat()
    except OSError as e:
        raise UsageError(f"cannot look at {path}: {e.strerror}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path} is not a regular file")
    return f"{facts.st_size}-{facts.st_mtime_ns}"
