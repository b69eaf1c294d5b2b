"""The mark on a published file: which job's body made it, with what content. Most file systems keep it,
none has to.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NamedTuple

ATTRIBUTE = "user.conductor.job"


class MadeBy(NamedTuple):
    """`sha256` tells a file that was changed in place afterwards: it is nobody's any more."""

    job_id: str
    #: ATTEMPT.TOKEN
    body: str
    sha256: str


def mark(fd: int, made_by: MadeBy) -> None:
    """On a file that is open to write; says nothing where there are no attributes."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setxattr(fd, ATTRIBUTE, " ".join(made_by).encode("ascii"))


def read(fd: int) -> MadeBy | None:
    """None: no mark, or none of ours."""
    if sys.platform != "linux":
        return None
    try:
        words = os.getxattr(fd, ATTRIBUTE).decode("ascii", "replace").split(" ")
    except OSError:
        return None
    return MadeBy(*words) if len(words) == len(MadeBy._fields) else None
