"""A main loop's one place to sleep: wakes on signals, on another thread's poke, or when the time is up."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from types import FrameType, TracebackType

STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
WATCHED = STOP | {signal.SIGCHLD}


class Wakeup:
    """Context manager, main thread only: inside it the watched signals do nothing but end `wait`."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._before: dict[signal.Signals, object] = {}
        self._before_fd = -1

    def __enter__(self) -> Wakeup:
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        # The descriptor first: a signal between the two lines is kept rather than lost.
        self._before_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        signal.set_wakeup_fd(self._before_fd)
        self._reader.close()
        self._writer.close()

    def poke(self) -> None:
        """From any thread: end the wait now."""
        # Full: it is awake already. Closed: nobody waits any more.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def wait(self, limit_s: float | None) -> list[signal.Signals]:
        """The signals that came, in order; empty after a poke or when the time is up."""
        select.select([self._reader], [], [], None if limit_s is None else max(0.0, limit_s))
        got = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := self._reader.recv(4096):
                got += chunk
        return [signal.Signals(number) for number in got if number]


def _noted(number: int, frame: FrameType | None) -> None:
    """Its number is in the socket by now."""
