"""Every tick of a live conductor on disk: bounded, rotating, written beside the loop, readable after any
crash.

`STATE_DIR/ticks/TIME-PID.ticks`: a mark, then one zlib stream of frames (length, check sum, then
`recording_frames`), flushed after each batch. What a kill cut off is a last frame that is not whole: it is
left out.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import msgspec
from loguru import logger

from conductor.analysis.replay.recording_frames import (
    FORMAT,
    FULL_EVERY_S,
    Header,
    Point,
    Reader,
    Tick,
    Writer,
)
from conductor.base.errors import ConfigError
from conductor.base.files.layout import Layout
from conductor.base.logs.events import emit_event
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Snapshot

MARK = b"conductor ticks\n"
NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-\d+\.ticks")
#: The bound is kept by files of this share of it; the oldest goes.
FILES = 16
#: A file is also ended after so much before compression: who writes it remembers its parts, who reads it
#: holds them.
MOST_PLAIN_BYTES = 8 << 20
#: Ticks that may wait to be written; beyond that they are left out, and counted.
WAITING_TICKS = 256
#: Ticks are gathered for so long, written together; a kill costs as much.
BATCH_S = 0.2
CLOSE_S = 5.0
#: Before each frame: its length and its check sum.
HEAD = struct.Struct(">II")


def folder_of(layout: Layout) -> Path:
    return layout.state_dir / "ticks"


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────


class Recorder:
    """Give it each tick (`record`), which costs the loop next to nothing; a thread of its own writes them.

    A disk that fails ends the recording with one warning, never the conductor.
    """

    def __init__(self, folder: Path, max_bytes: int, full_every_s: float = FULL_EVERY_S) -> None:
        self._files = Files(folder, max_bytes, full_every_s)
        self._queue: queue.Queue[Tick | None] = queue.Queue(WAITING_TICKS)
        self._thread: threading.Thread | None = None
        self._skipped = 0
        self._is_broken = False
        self._is_over = threading.Event()

    def record(
        self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits, decision: Decision
    ) -> None:
        if self._is_broken:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
            self._thread.start()
        tick = Tick(
            snapshot=snapshot,
            candidates=tuple(candidates),
            limits=limits,
            decision=decision,
            skipped=self._skipped,
        )
        try:
            self._queue.put_nowait(tick)
            self._skipped = 0
        except queue.Full:
            self._skipped += 1

    def close(self) -> None:
        """What was given is written. Twice is once."""
        thread, self._thread = self._thread, None
        self._is_over.set()
        if thread is not None:
            self._queue.put(None)
            thread.join(CLOSE_S)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_all(self) -> None:
        batch: list[Tick | None] = []
        try:
            while None not in batch:
                batch = self._batch()
                self._write(batch)
        except OSError as e:
            self._is_broken = True
            emit_event("recording.stopped", "Ticks are no longer recorded: {error}", error=str(e))
            # The word that it is over may have come with what could not be written.
            while batch[-1] is not None:
                batch = [self._queue.get()]
        finally:
            self._files.close()

    def _batch(self) -> list[Tick | None]:
        """The next one, and all that came with it: flushed together they take less."""
        batch = [self._queue.get()]
        if batch[0] is not None:
            self._is_over.wait(BATCH_S)
        while batch[-1] is not None and not self._queue.empty():
            batch.append(self._queue.get())
        return batch

    def _write(self, batch: list[Tick | None]) -> None:
        for tick in batch:
            if tick is not None:
                self._files.append(tick)
        self._files.flush()


class Files:
    """The newest file, and the bound over all of them. Used by one thread."""

    def __init__(self, folder: Path, max_bytes: int, full_every_s: float = FULL_EVERY_S) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._full_every_s = full_every_s
        self._file: BinaryIO | None = None
        self._written = 0
        self._writer = Writer(full_every_s)
        self._stream = zlib.compressobj(1)

    def append(self, tick: Tick) -> None:
        is_full = self._written > self._max_bytes // FILES or self._writer.written_bytes > MOST_PLAIN_BYTES
        if self._file is None or is_full:
            self._begin(tick.snapshot.now)
        self._put(self._writer.frame(tick))

    def flush(self) -> None:
        self._out(self._stream.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, now: float) -> None:
        # A batch may go over the end of a file: what of it is still being packed belongs to the old one.
        self.flush()
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room()
        stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self._folder / f"{stamp}-{os.getpid()}.ticks"
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self._file.write(MARK)
        self._written, self._writer, self._stream = 0, Writer(self._full_every_s), zlib.compressobj(1)
        header = Header(
            format=FORMAT,
            version=version("conductor-jobs"),
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=now,
        )
        self._put(msgspec.msgpack.encode(header))

    def _make_room(self) -> None:
        """So that the files that are there and a whole new one stay below the bound."""
        sizes = [(path, path.stat().st_size) for path in files_of(self._folder)]
        total = sum(size for _, size in sizes) + self._max_bytes // FILES
        for path, size in sizes:
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _put(self, frame: bytes) -> None:
        self._out(self._stream.compress(HEAD.pack(len(frame), zlib.crc32(frame)) + frame))

    def _out(self, data: bytes) -> None:
        if self._file is not None and data:
            self._file.write(data)
            self._written += len(data)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────


def files_of(folder: Path) -> list[Path]:
    """The recordings of a folder, the oldest first."""
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name)) if folder.is_dir() else []


def read_ticks(path: Path) -> Iterator[Tick]:
    """The ticks of one file, or of all of a folder, in the order they were recorded.

    A file ends where it was cut off. Raises `ConfigError` for what is no recording or another version's.
    """
    return (point.tick() for point in read_points(path))


def read_points(path: Path, needle: str = "") -> Iterator[Point]:
    """As `read_ticks`, but each tick is made only where it is asked for; `needle`: for `Point.found`."""
    for file in files_of(path) if path.is_dir() else [path]:
        yield from _points_of(file, needle.encode())


def last_at(path: Path) -> float:
    """When the last tick was; 0.0 where there is none."""
    for file in reversed(files_of(path) if path.is_dir() else [path]):
        at = 0.0
        for point in _points_of(file):
            at = point.now
        if at:
            return at
    return 0.0


def _points_of(file: Path, needle: bytes = b"") -> Iterator[Point]:
    frames, reader = _frames(file), Reader(str(file), needle)
    try:
        header = next(frames, None)
        if header is not None and (found := msgspec.msgpack.decode(header, type=Header)).format != FORMAT:
            raise ConfigError(
                f"{file} is of format {found.format}, written by version {found.version}: replay it there"
            )
        for frame in frames:
            yield reader.point(frame)
    except (msgspec.DecodeError, IndexError) as e:
        raise ConfigError(f"{file} cannot be read by this version of Conductor: {e}") from None


def _frames(file: Path) -> Iterator[bytes]:
    try:
        content = file.read_bytes()
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from None
    if not content.startswith(MARK):
        if MARK.startswith(content):
            return  # killed before the first tick
        raise ConfigError(f"{file} is no recording of ticks")
    plain, at = _plain(content[len(MARK) :]), 0
    while at + HEAD.size <= len(plain):
        length, check = HEAD.unpack_from(plain, at)
        frame = plain[at + HEAD.size : at + HEAD.size + length]
        if len(frame) < length:
            return
        if zlib.crc32(frame) != check:
            logger.warning("{} is damaged after {} bytes: what comes after that is left out", file, at)
            return
        yield frame
        at += HEAD.size + length


def _plain(data: bytes) -> bytes:
    """As much as can be unpacked: piece by piece, so that a fault costs what comes after it only."""
    stream, out = zlib.decompressobj(), bytearray()
    try:
        for at in range(0, len(data), 1 << 12):
            out += stream.decompress(data[at : at + (1 << 12)])
    except zlib.error as e:
        logger.warning("A recording is damaged after {} bytes: {}", len(out), e)
    return bytes(out)
