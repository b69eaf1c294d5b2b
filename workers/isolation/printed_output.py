"""What bodies print: into one file of their worker's while they run, bounded even then; afterwards one file a
body.

A child and the programs that it runs write straight into the file, so nobody waits for a reader, and the last
words of one that was killed are there. A thread sleeps until the kernel says that somebody wrote; of what is
too much it gives the middle back to the disk (a hole: the file seems long and occupies little). Bodies that
print nothing cost nothing.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from loguru import logger

from conductor.base import secrets
from conductor.base.logs import job_output
from conductor.base.logs.job_output import HEAD_BYTES, TAIL_BYTES
from conductor.base.text import size

#: Beyond first and last words a file may occupy so much while it is written: several short bodies may have
#: written before this side hears that the first of them has ended.
_SLACK_BYTES = 8 << 20
#: What was kept in files of their own is given back when it is so much.
_RECLAIM_BYTES = 8 << 20
#: Between two bodies the worker's file is emptied above this size.
_EMPTY_BYTES = 1 << 20
#: After a look; who writes 2 GB/s gets 20 MB further until the next.
_PAUSE_S = 0.01
#: Where the kernel does not say who wrote.
_LOOK_EVERY_S = 0.25
_BLOCK = 4096
_IN_MODIFY = 0x2
_PUNCH_AND_KEEP_SIZE = 0x3
_is_linux = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


class Printed:
    """Of one worker. All but its own thread's work is the main thread's."""

    def __init__(self, file: Path, logs_dir: Path) -> None:
        self.file = file
        self.logs_dir = logs_dir
        #: Where the words of the body begin that runs, or of the first that was not heard of yet.
        self.start = 0
        #: From where to where was given back; in order, none touches another.
        self._holes: list[tuple[int, int]] = []
        #: Up to here all is in files of their own, or nobody's.
        self._reclaimed = 0
        self._lock = threading.Lock()
        self._watch: _Watch | None = None

    def open(self) -> BinaryIO:
        """For a child to write into."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        sink = self.file.open("ab")
        self.begin()
        if self._watch is None:
            self._watch = _Watch(self.file, self.bound)
        return sink

    def rename(self, file: Path) -> None:
        """Whoever writes into it goes on."""
        if self.file.exists():
            self.file.replace(file)
        self.file = file

    def size(self) -> int:
        try:
            return self.file.stat().st_size
        except OSError:
            return 0

    def begin(self, at: int | None = None) -> None:
        """The next body has its turn: what was printed (up to `at`, or now) is not its own."""
        self.start = self.size() if at is None else at

    def end(self, job_id: str, body: str, at: int | None = None) -> None:
        """A body has ended, and printed up to `at`, or now: its words go into a file of its own."""
        end = self.size() if at is None else at
        # Where no hole can be made it was begun anew.
        start = self.start if self.start <= end else 0
        self.start = end
        if start == end:
            return
        target = job_output.file_of(self.logs_dir, job_id, body, time.time())
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._words(start, end))
        except OSError as e:
            logger.debug("What {} printed is not kept: {}", job_id, e)
        if end - self._reclaimed > _RECLAIM_BYTES:
            self._give_back(self._reclaimed, end)
            self._reclaimed = end

    def clean_up(self) -> None:
        """Nobody writes now."""
        if self.size() > _EMPTY_BYTES:
            with self._lock, suppress(OSError):
                os.truncate(self.file, 0)
                self._holes, self.start, self._reclaimed = [], 0, 0

    def tail(self, most: int) -> str:
        """The end of what the body printed that runs, or ran last."""
        try:
            with self.file.open("rb") as source:
                source.seek(max(min(self.start, self.size()), self.size() - most))
                return source.read(most).decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self.file.exists() and self.size() == 0:
            self.file.unlink()

    # ── bounded while it runs ─────────────────────────────────────────────────────────────────────────────

    def bound(self) -> None:
        """The watch's: somebody wrote."""
        end, start = self.size(), self.start
        begin = max(start + HEAD_BYTES, self._holes[-1][1] if self._holes else 0)
        if end - TAIL_BYTES - begin > _SLACK_BYTES:
            self._give_back(begin, end - TAIL_BYTES)

    def _give_back(self, start: int, end: int) -> None:
        start, end = -(-start // _BLOCK) * _BLOCK, end // _BLOCK * _BLOCK
        if start >= end:
            return
        with self._lock:
            if not _punch(self.file, start, end):
                # Whoever appends goes on at the beginning.
                with suppress(OSError):
                    os.truncate(self.file, 0)
                self._holes, self.start, self._reclaimed = [], 0, 0
                return
            last = self._holes[-1] if self._holes else (0, 0)
            if start <= last[1]:
                self._holes[-1:] = [(min(last[0], start), max(last[1], end))]
            else:
                self._holes.append((start, end))

    # ── one file a body ───────────────────────────────────────────────────────────────────────────────────

    def _words(self, start: int, end: int) -> bytes:
        """What lies there, its middle left out where that is long or was given back."""
        found, at = bytearray(), start
        with self.file.open("rb") as source:
            for first, last in self._pieces(start, end):
                if first > at:
                    found += f"\n… {size(first - at)} left out …\n".encode()
                source.seek(first)
                found += self._without_secrets(source.read(last - first), first)
                at = last
        if at < end:
            found += f"\n… {size(end - at)} left out …\n".encode()
        return bytes(found)

    def _without_secrets(self, said: bytes, at: int) -> bytes:
        """As everywhere else that is written for others. What a body printed of a secret does not stay
        here either.
        """
        masked = secrets.scrub(said.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if masked != said:
            with suppress(OSError), self.file.open("r+b") as file:
                file.seek(at)
                file.write(masked.ljust(len(said))[: len(said)])
        return masked

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        if end - start <= HEAD_BYTES + TAIL_BYTES:
            kept = [(start, end)]
        else:
            kept = [(start, start + HEAD_BYTES), (end - TAIL_BYTES, end)]
        with self._lock:
            holes = list(self._holes)
        for first, last in kept:
            at = first
            for hole_start, hole_end in holes:
                if hole_end > at and hole_start < last:
                    if hole_start > at:
                        yield at, hole_start
                    at = hole_end
            if at < last:
                yield at, last


def _punch(file: Path, start: int, end: int) -> bool:
    """False where this system, or this file's disk, makes no holes."""
    if not _is_linux:
        return False
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        offset, length = ctypes.c_int64(start), ctypes.c_int64(end - start)
        return _libc.fallocate(fd, _PUNCH_AND_KEEP_SIZE, offset, length) == 0
    finally:
        os.close(fd)


class _Watch:
    """Calls `look` soon after somebody wrote into the file, from a thread of its own."""

    def __init__(self, file: Path, look: Callable[[], None]) -> None:
        self._look = look
        self._woken, self._wake = os.pipe()
        self._events = _events_of(file)
        self._thread = threading.Thread(target=self._work, name="printed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._wake)
        self._thread.join(2.0)

    def _work(self) -> None:
        ends = [self._woken, *([self._events] if self._events is not None else [])]
        limit_s = None if self._events is not None else _LOOK_EVERY_S
        while self._woken not in select.select(ends, [], [], limit_s)[0]:
            if self._events is not None:
                with suppress(BlockingIOError):
                    os.read(self._events, 1 << 16)
            self._look()
            time.sleep(_PAUSE_S)
        for end in ends:
            os.close(end)


def _events_of(file: Path) -> int | None:
    """A descriptor that is readable once somebody wrote into it; None where the kernel does not tell."""
    if not _is_linux:
        return None
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        return None
    if _libc.inotify_add_watch(fd, os.fsencode(file), _IN_MODIFY) < 0:
        os.close(fd)
        return None
    return fd
