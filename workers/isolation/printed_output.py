"""What bodies print: into one file of their worker's while they run, bounded even then; afterwards one file a
body.

A child and the programs that it runs write straight into the file, so nobody waits for a reader, and the last
words of one that was killed are there. A thread sleeps until the kernel says that somebody wrote; of what is
too much it gives the middle back to the disk (a hole: the file seems long and occupies little). Bodies that
print nothing cost nothing.

Stdout and stderr are two descriptions of that one file: the kernel keeps the order, and the place of each
says where its last write ended. What was stderr is noted beside it (`conductor.base.logs.two_streams`).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple, get_args

from loguru import logger

from conductor.base import secrets
from conductor.base.logs import job_output
from conductor.base.logs.job_output import BODY_BYTES
from conductor.base.logs.two_streams import (
    KeptLines,
    RangeWriter,
    Stream,
    names_folder,
    ranges_file,
    runs,
    stderr_ranges,
    written_to_stderr,
)
from workers.isolation.write_watch import WriteWatch

#: Beyond first and last words a file may occupy so much while it is written: several short bodies may have
#: written before this side hears that the first of them has ended.
_SLACK_BYTES = 8 << 20
#: What was kept in files of their own is given back when it is so much.
_RECLAIM_BYTES = 8 << 20
#: Between two bodies the worker's file is emptied above this size.
_EMPTY_BYTES = 1 << 20
_BLOCK = 4096
#: Of what was written since the last look, where it is counted how many lines that are.
_LOOKED_THROUGH = 1 << 16
_PUNCH_AND_KEEP_SIZE = 0x3
_is_linux = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


class Sinks(NamedTuple):
    """What a child gets: its stdout, its stderr, and where it notes which bytes were stderr."""

    stdout: BinaryIO
    stderr: BinaryIO
    ranges: BinaryIO


class Printed:
    """Of one worker. All but its own thread's work is the main thread's. `body_bytes`: kept of each body."""

    def __init__(self, file: Path, logs_dir: Path, body_bytes: int = BODY_BYTES) -> None:
        self.file = file
        self.logs_dir = logs_dir
        self._head, self._tail = job_output.ends_kept(body_bytes)
        #: Where the words of the body begin that runs, or of the first that was not heard of yet.
        self.start = 0
        #: From where to where was given back; in order, none touches another.
        self._holes: list[tuple[int, int]] = []
        #: Up to here all is in files of their own, or nobody's.
        self._reclaimed = 0
        self._lock = threading.Lock()
        self._watch: WriteWatch | None = None
        self._sinks: Sinks | None = None
        self._ranges: RangeWriter | None = None
        #: Up to here it was looked who wrote.
        self._seen = 0

    def open(self) -> Sinks:
        """For a child to write into. They stay open here: their places tell who wrote."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._close_sinks()
            ranges = os.open(ranges_file(self.file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            sinks = Sinks(*self._opened(), os.fdopen(ranges, "r+b", 0))
            self._sinks, self._ranges = sinks, RangeWriter(ranges, 1)
            self._seen = self.size()
        self.begin()
        if self._watch is None:
            self._watch = WriteWatch(names_folder(self.file), self.look)
        return sinks

    def watch(self) -> None:
        """From now on a thread looks at what is written: once the child is there, which may be a copy of this
        process."""
        if self._watch is not None:
            self._watch.start()

    def _opened(self) -> tuple[BinaryIO, BinaryIO]:
        """By a name for each stream: the kernel says by which name of a file somebody wrote."""
        folder = names_folder(self.file)
        self.file.touch()
        try:
            folder.mkdir(exist_ok=True)
            out, error = (opened_as(self.file, folder / name) for name in get_args(Stream))
            return out, error
        except OSError:  # a disk without hard links
            return self.file.open("ab", 0), self.file.open("ab", 0)

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
        self._note_stderr()
        target = job_output.file_of(self.logs_dir, job_id, body, time.time())
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._words(start, end))
        except OSError as e:
            logger.debug("What {} printed is not kept: {}", job_id, e)
        if end - self._reclaimed > _RECLAIM_BYTES:
            with self._lock:
                self._give_back(self._reclaimed, end)
            self._reclaimed = end

    def clean_up(self) -> None:
        """Nobody writes now."""
        if self.size() > _EMPTY_BYTES:
            with self._lock, suppress(OSError):
                self._begin_anew()

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
        with self._lock:
            self._close_sinks()
        if self.file.exists() and self.size() == 0:
            self.file.unlink()
            ranges_file(self.file).unlink(missing_ok=True)
        with suppress(OSError):
            names_folder(self.file).rmdir()

    def _close_sinks(self) -> None:
        for sink in self._sinks or ():
            sink.close()
        self._sinks = self._ranges = None

    # ── bounded while it runs ─────────────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """The watch's: somebody wrote."""
        self._note_stderr()
        self._bound()

    def _bound(self) -> None:
        with self._lock:
            end, start = self.size(), self.start
            begin = max(start + self._head, self._holes[-1][1] if self._holes else 0)
            if end - self._tail - begin > _SLACK_BYTES:
                self._give_back(begin, end - self._tail)

    def _note_stderr(self) -> None:
        """What Python writes there the child notes; programs and native libraries know nothing of that."""
        with self._lock:
            if self._sinks is None or self._ranges is None:
                return
            names = self._watch.names() if self._watch is not None else []
            # In this order: what stdout writes meanwhile lies behind.
            error, out = (
                os.lseek(sink.fileno(), 0, os.SEEK_CUR) for sink in (self._sinks.stderr, self._sinks.stdout)
            )
            seen, self._seen = self._seen, max(self._seen, error, out)
            for start, end in written_to_stderr(names, seen, out, error, self._line_starts):
                self._ranges.add(start, end)

    def _line_starts(self, start: int, end: int) -> list[int]:
        """Of the lines that lie there, whole, in no time."""
        if end - start > _LOOKED_THROUGH:
            return []
        try:
            with self.file.open("rb") as source:
                source.seek(start)
                said = source.read(end - start)
        except OSError:
            return []
        return list(accumulate((len(line) for line in said.splitlines(keepends=True)), initial=start))[:-1]

    def _begin_anew(self) -> None:
        """Whoever appends goes on at the beginning. Raises `OSError`."""
        os.truncate(self.file, 0)
        self._holes, self.start, self._reclaimed = [], 0, 0
        if self._sinks is not None:
            for sink in (self._sinks.stdout, self._sinks.stderr):
                os.lseek(sink.fileno(), 0, os.SEEK_SET)
            os.truncate(self._sinks.ranges.fileno(), 0)
        self._seen = 0

    def _give_back(self, start: int, end: int) -> None:
        """Who calls holds the lock."""
        start, end = -(-start // _BLOCK) * _BLOCK, end // _BLOCK * _BLOCK
        if start >= end:
            return
        if not _punch(self.file, start, end):
            with suppress(OSError):
                self._begin_anew()
            return
        last = self._holes[-1] if self._holes else (0, 0)
        if start <= last[1]:
            self._holes[-1:] = [(min(last[0], start), max(last[1], end))]
        else:
            self._holes.append((start, end))

    # ── one file a body ───────────────────────────────────────────────────────────────────────────────────

    def _words(self, start: int, end: int) -> bytes:
        """What lies there, its middle left out where that is long or was given back."""
        ranges, lines, at = stderr_ranges(self.file, start, end), KeptLines(), start
        with self.file.open("rb") as source:
            for first, last in self._pieces(start, end):
                lines.leave_out(first - at)
                for stream, begin, until in runs(first, last, ranges):
                    source.seek(begin)
                    lines.take(stream, self._without_secrets(source.read(until - begin), begin))
                at = last
        lines.leave_out(end - at)
        return lines.text()

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
        if end - start <= self._head + self._tail:
            kept = [(start, end)]
        else:
            kept = [(start, start + self._head), (end - self._tail, end)]
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


def opened_as(file: Path, name: Path) -> BinaryIO:
    """The file, for appending; the name is gone again. Raises `OSError`."""
    name.unlink(missing_ok=True)
    name.hardlink_to(file)
    try:
        return name.open("ab", 0)
    finally:
        name.unlink()


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
