"""SIGTERM, SIGINT and SIGHUP set a flag and wake whoever sleeps; nothing else happens in a handler.

First signal: finish the job in hand, then leave. Second: stop the body, give the attempt back. Third: leave
now.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.isolation.protocol import Channel

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: A service manager and a terminal may both say the same thing once.
_SAME_S = 0.5


class Stopping:
    """How urgently this worker is to leave. `wake_fd` becomes readable whenever something happened."""

    def __init__(self) -> None:
        self.level = 0
        self.has_retired = False
        self._last = -_SAME_S
        self.wake_fd, self._write_fd = os.pipe()
        self._keeper_fd, self._keeper_write_fd = os.pipe()
        #: Of the main thread, for whoever watches over it: it waits by its own will, and how often it has.
        self.is_at_rest, self.rested = False, 0
        for fd in (self.wake_fd, self._write_fd, self._keeper_fd, self._keeper_write_fd):
            os.set_blocking(fd, False)

    def install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last < _SAME_S:
            return
        self._last = now
        self.level += 1
        if self.level >= 3:
            os._exit(128 + number)
        self.wake()
        self.wake_keeper()

    def retire(self) -> None:
        """It has nothing in hand, and leaves by itself."""
        if self.level == 0:
            self.level, self.has_retired = 1, True

    @property
    def is_asked(self) -> bool:
        return self.level > 0

    @property
    def is_urgent(self) -> bool:
        return self.level > 1

    def wake(self) -> None:
        """From any thread or handler: end the main thread's sleep."""
        _write(self._write_fd)

    def wake_keeper(self) -> None:
        _write(self._keeper_write_fd)

    def sleep(self, limit_s: float) -> bool:
        """The main thread's: until the time is up or something happened (True)."""
        self.is_at_rest = True
        woken = select.select([self.wake_fd], [], [], max(0.0, limit_s))[0]
        self.is_at_rest = False
        self.rested += 1
        if woken:
            self.drain()
        return bool(woken)

    def listen(self, channel: Channel, limit_s: float) -> bool:
        """As `sleep`; also until there is something to read (True). What could not be sent goes on its
        way.
        """
        unsent = [channel] if channel.has_unsent else []
        self.is_at_rest = True
        readable, writable, _ = select.select([channel, self.wake_fd], unsent, [], max(0.0, limit_s))
        self.is_at_rest = False
        self.rested += 1
        if writable:
            channel.flush()
        if self.wake_fd in readable:
            self.drain()
        return channel in readable

    def keeper_sleep(self, limit_s: float | None) -> None:
        if select.select([self._keeper_fd], [], [], None if limit_s is None else max(0.0, limit_s))[0]:
            _drain(self._keeper_fd)

    def drain(self) -> None:
        _drain(self.wake_fd)


def _write(fd: int) -> None:
    with suppress(BlockingIOError):  # Full: it is awake already.
        os.write(fd, b"!")


def _drain(fd: int) -> None:
    with suppress(BlockingIOError):
        while os.read(fd, 4096):
            pass
