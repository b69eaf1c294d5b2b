"""What tells one state of an input file from another: its size and the time of its last change, without
reading it, or its content, for those who copy files with their dates kept."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from conductor.base.errors import UsageError

#: What a plan's marks of inputs go by.
InputsBy = Literal["time", "content"]

_BY_TIME = re.compile(r"[0-9]+-[0-9]+")
_BY_CONTENT = re.compile(r"sha256-[0-9a-f]{64}")

#: (file, what it is now) → its sha256: reads it, or knows it.
Hashing = Callable[[Path, "FileState"], str]


class FileState(NamedTuple):
    """One state of one file. Whatever writes to it changes the last of these, which nobody can set."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @staticmethod
    def of(facts: os.stat_result) -> FileState:
        return FileState(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def state_of(path: Path) -> FileState:
    """Of a regular file. Raises `UsageError` where there is none or it may not be looked at."""
    try:
        facts = path.stat()
    except OSError as e:
        raise UsageError(f"cannot look at {path}: {e.strerror}") from None
    return _state(path, facts)


def _state(path: Path, facts: os.stat_result) -> FileState:
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path} is not a regular file")
    return FileState.of(facts)


def sha256_of(path: Path, state: FileState) -> str:
    """Of the file in that very state. Raises `UsageError` where it is written to meanwhile, or cannot be
    read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if _state(path, os.fstat(file.fileno())) != state:
                raise UsageError(f"{path} is being written to: try again when that is over")
            return digest
    except OSError as e:
        raise UsageError(f"cannot read {path}: {e.strerror}") from None


def fingerprint(path: Path, by: InputsBy = "time", hashing: Hashing = sha256_of) -> str:
    """`SIZE-MTIME_NS` of a regular file, or `sha256-HEX`. Raises `UsageError` where there is none or it
    cannot be read.

    By time, a copy with another time of change counts as another file, and an edit that keeps both as none:
    reading terabytes of video to learn that nothing changed would cost more than the run that is saved.
    """
    state = state_of(path)
    return f"sha256-{hashing(path, state)}" if by == "content" else f"{state.size}-{state.mtime_ns}"


def by_of(mark: str) -> InputsBy | None:
    """What a mark goes by; None: it is a plan's own, and says nothing to anybody else."""
    if _BY_TIME.fullmatch(mark):
        return "time"
    return "content" if _BY_CONTENT.fullmatch(mark) else None
