"""A file to which several processes add lines, and which any of them puts aside once it has grown.

Two conductors, the workers of a lane write the same name. `NAME.jsonl` is put aside as `NAME.1.jsonl`, what
bore that name becomes `.2`, and so on; the last one goes. Who writes holds the lock of its file, so nobody
moves it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

#: For so long somebody else's lock is waited for. A process that was stopped while it held it must not stop
#: us.
PATIENCE_S = 1.0
PAUSE_S = 0.0005
#: After once in vain, for this long each wait is this short.
SULK_S, SHORT_S = 60.0, 0.02


class LogFile:
    """For `logger.add`: a stream of whole lines. One thread at a time, which loguru sees to."""

    def __init__(self, path: Path, most_bytes: int, kept: int) -> None:
        """`kept` files of at most `most_bytes` stay beside `path`. Raises `OSError` when it cannot be
        written.
        """
        self.path = path
        self._most_bytes = most_bytes
        self._kept = kept
        self._pid = os.getpid()
        self._fd = self._open()
        self._sulks_until = 0.0
        #: Lines the disk had no room for since the last that it took.
        self.lost = 0

    def write(self, message: str) -> None:
        """Add it whole or not at all. A disk that is full costs lines, and never the work."""
        data = message.encode("utf-8", "backslashreplace")
        try:
            self._add(data)
            self.lost = 0
        except OSError:
            self.lost += 1

    def stop(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _add(self, data: bytes) -> None:
        while True:
            is_locked = self._hold()
            try:
                size = os.fstat(self._fd).st_size
                if is_locked and size and size + len(data) > self._most_bytes:
                    self._put_aside()
                    continue
                written = os.write(self._fd, data)
                if written < len(data) and is_locked:
                    os.ftruncate(self._fd, size)
                return
            finally:
                with suppress(OSError):
                    fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _hold(self) -> bool:
        """Have the file that bears the name now open, and its lock; False: nobody would let go of it in
        time.
        """
        now = time.monotonic()
        is_patient = now >= self._sulks_until
        until = now + (PATIENCE_S if is_patient else SHORT_S)
        while True:
            self._reopen_after_fork()
            is_locked = self._lock(until)
            if not is_locked and is_patient:
                self._sulks_until = time.monotonic() + SULK_S
            if self._is_current():
                return is_locked
            # Put aside, or removed, while we waited. Opened before the old one is closed: `_fd` is always one
            # of ours.
            fd = self._open()
            os.close(self._fd)
            self._fd = fd

    def _lock(self, until: float) -> bool:
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                # Busy, or a file system without locks: one line too many in the old file is better than none.
                if time.monotonic() > until:
                    return False
            time.sleep(PAUSE_S)

    def _is_current(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

    def _put_aside(self) -> None:
        """Under the lock of the current file. Killed in between, a number is missing, and is filled the
        next time.
        """
        for number in range(self._kept - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._aside(number).replace(self._aside(number + 1))
        # Last: from here on there is another current file, and another lock.
        self.path.replace(self._aside(1))

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")

    def _reopen_after_fork(self) -> None:
        """A lock is the open file's, which a forked child shares with its parent."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self.stop()
            self._fd = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
