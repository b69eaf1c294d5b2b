"""A file that only grows, written by one process: lines are on disk, under the file's name, when `append`
returns.

A folder is cleared, moved or mounted over while its writers live: they would go on writing into a file that
nobody can open any more. So the name is looked at around each append; where something else stands there, the
file is opened anew and gets all that it lacks: from the old one, which its descriptor still reads, and from
what was written lately. What was taken out into an archive it does not lack (`rotation.py`).
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.adapters.files.archives import header_of, mark_of
from conductor.base.files.safe_open import make_own

#: Of what was written last so much is remembered, for a file that was cut short.
RECENT_BYTES = 1 << 20
_CHUNK = 1 << 20
#: For so long somebody else's lock is waited for: one that was stopped while it held it must not stop us.
PATIENCE_S = 5.0
_PAUSE_S = 0.001


class AppendOnly:
    """One process writes it; any number may read. Not for threads."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._fd: int | None = None
        #: What stands there does not end in a newline: a write was cut short.
        self._is_torn = False
        #: So long it is at least, if nobody cut it.
        self._end = 0
        #: Files of that name which were left, and how long the last one was: what is in them must be in the
        #: next.
        self._left: list[int] = []
        self._left_at = 0
        self._recent: deque[bytes] = deque()
        self._recent_bytes = 0

    def append(self, lines: bytes) -> None:
        """Whole lines, on disk when it returns. Raises `OSError`; a later append repairs what a failed one
        left, in a file opened anew: the disk may have been exchanged, a share mounted again."""
        try:
            # Before: a line must not be put behind the stump of another. After: the file may have gone in
            # between.
            with self._held():
                self._write(lines)
            self._remember(lines)
            self.look()
        except OSError:
            self._leave()
            raise

    def look(self) -> int:
        """Is the file still there, with all that was written? How many lines had to be written again.

        Raises `OSError`; then it is looked at again by the next call."""
        if self._fd is not None and not self._left and self._is_in_place(self._fd):
            return 0
        if self._fd is None and not self._left and not self._recent:
            return 0
        return self._mend()

    def close(self) -> None:
        """What is written stays; raises nothing: it is the way out."""
        with suppress(OSError):
            self.look()
        self._leave()
        for fd in self._left:
            os.close(fd)
        self._left = []

    @contextmanager
    def _held(self) -> Generator[None]:
        """The lock of the file that bears the name, and has all that was written: nothing is taken out of it
        meanwhile. Where nobody lets go of it, or there are no locks, what is written into a file that was
        exchanged is written again."""
        until = time.monotonic() + PATIENCE_S
        if self._fd is None:
            self.look()
        while True:
            fd = self._open()
            is_locked = _lock(fd, until)
            if not self._left and self._is_in_place(fd):
                break
            self.look()
            if not is_locked:
                break
        try:
            yield
        finally:
            if is_locked:
                fcntl.flock(fd, fcntl.LOCK_UN)

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────

    def _write(self, lines: bytes) -> None:
        fd = self._open()
        if self._is_torn:
            lines = b"\n" + lines
        self._is_torn = True  # Until all of it is there.
        written = os.write(fd, lines)
        if written < len(lines):
            os.write(fd, lines[written:])
        self._is_torn = False
        self._end += len(lines)
        os.fsync(fd)

    def _open(self) -> int:
        if self._fd is None:
            folder = self.file.parent
            make_own(folder)
            self._fd = fd = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._end = os.fstat(fd).st_size
            self._is_torn = self._end > 0 and os.pread(fd, 1, self._end - 1) != b"\n"
            _fsync_folder(folder)
        return self._fd

    def _remember(self, lines: bytes) -> None:
        self._recent.append(lines)
        self._recent_bytes += len(lines)
        while self._recent_bytes > RECENT_BYTES and len(self._recent) > 1:
            self._recent_bytes -= len(self._recent.popleft())

    # ── mending ───────────────────────────────────────────────────────────────────────────────────────────

    def _is_in_place(self, fd: int) -> bool:
        try:
            there = os.stat(self.file)  # noqa: PTH116  twice an append: no Path for it
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(fd)) and there.st_size >= self._end

    def _leave(self) -> None:
        """The file is opened anew by whoever comes next, and then has all that this one had."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        facts = os.fstat(fd)
        # A device is read without end, and a disk that is full for hours is met by one file again and again.
        if not stat.S_ISREG(facts.st_mode) or any(
            os.path.samestat(facts, os.fstat(old)) for old in self._left
        ):
            os.close(fd)
        else:
            self._left.append(fd)
        self._left_at = max(self._left_at, self._end)

    def _mend(self) -> int:
        """Raises `OSError`; then nothing is forgotten, and the next call goes on from there."""
        self._leave()
        fd = self._open()
        now, lost = os.fstat(fd), list[bytes]()
        if now.st_size < self._left_at or not all(os.path.samestat(now, os.fstat(old)) for old in self._left):
            there = set(_lines(fd)) | self._taken_out(fd)
            lost = [line for line in dict.fromkeys(self._known()) if line not in there]
        if lost:
            self._write(b"".join(lost))
            _log_mended(self.file, len(lost))
        for old in self._left:
            os.close(old)
        self._left, self._left_at = [], 0
        return len(lost)

    def _taken_out(self, fd: int) -> set[bytes]:
        """Lines that went into archives, out of files that we have had."""
        found, parts = set[bytes](), header_of(fd)[0]
        for at, part in enumerate(parts):
            # What was taken out later lay behind that in each.
            until = part.until + sum(later.until - later.begins for later in parts[at + 1 :])
            for old in self._left:
                facts = os.fstat(old)
                is_it = facts.st_ino == part.ino and facts.st_size >= part.until
                if is_it and mark_of(old, part.until) == part.mark:
                    found.update(_lines(old, until))
        if found:
            # Nor are they lacking the next time.
            self._recent = deque(line for line in _split(self._recent) if line not in found)
            self._recent_bytes = sum(map(len, self._recent))
        return found

    def _known(self) -> Iterator[bytes]:
        """Whole lines, the eldest first as far as that can be told."""
        for old in self._left:
            # Of a share that is gone nothing can be read.
            with suppress(OSError):
                yield from _lines(old)
        yield from _split(self._recent)


def _lock(fd: int, until: float) -> bool:
    """False: somebody holds it for too long, or there are no locks here."""
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
        except OSError:
            return False
        time.sleep(_PAUSE_S)


def _lines(fd: int, until: int | None = None) -> Iterator[bytes]:
    """Whole lines with their ends, up to that place; a last one without is no line."""
    at, rest = 0, b""
    while chunk := os.pread(fd, _CHUNK if until is None else min(_CHUNK, until - at), at):
        at += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)


def _split(texts: Iterable[bytes]) -> Iterator[bytes]:
    for text in texts:
        yield from (line + b"\n" for line in text.split(b"\n")[:-1])


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _log_mended(file: Path, lines: int) -> None:
    from conductor.base.logs.events import emit_event

    words = "{file} was removed, moved or cut short: {lines} lines that it lacked were written again"
    emit_event("file.mended", words, file=str(file), lines=lines)
