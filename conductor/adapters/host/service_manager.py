"""What is said to the service manager that started this process: one datagram a word, to $NOTIFY_SOCKET.

systemd speaks this protocol (sd_notify), and so do some others. Where nobody listens, nothing is said, and
nothing fails.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress

from conductor.base.text import printable

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
#: A watchdog hears of this process so many times before it would bite.
BEATS = 4
STATUS_EVERY_S = 10.0
MOST_STATUS = 500


class ServiceManager:
    """From any thread; no word is waited for."""

    def __init__(
        self,
        address: str = "",
        watchdog_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address`: a path, or `@name` for a socket of the abstract name space; empty: nobody listens."""
        self._address = address
        self._watchdog_s = watchdog_s if address else None
        self._clock = clock
        self._beat_at: float | None = None
        self._status_at: float | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For the one child that speaks for this process."""
        if not self._address:
            return {}
        beat = {} if self._watchdog_s is None else {WATCHDOG: str(int(self._watchdog_s * 1e6))}
        return {SOCKET: self._address, **beat}

    def ready(self, status: str) -> None:
        self._send("READY=1", _status(status))

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", _status(status))

    def alive(self) -> None:
        """At each turn of a main loop: most of them send nothing."""
        if self._watchdog_s is None:
            return
        now = self._clock()
        if self._beat_at is None or now - self._beat_at >= self._watchdog_s / BEATS:
            self._beat_at = now
            self._send("WATCHDOG=1")

    def tell(self, words: Callable[[], str]) -> None:
        """The same for one line on what goes on, which is made only where it is sent."""
        if not self._address:
            return
        now = self._clock()
        if self._status_at is None or now - self._status_at >= STATUS_EVERY_S:
            self._status_at = now
            self._send(_status(words()))

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # It may be gone, or full: the work does not depend on it.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto("\n".join(lines).encode("utf-8", "replace"), name)


def _status(words: str) -> str:
    return f"STATUS={printable(words)[:MOST_STATUS]}"


def taken_from(environ: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """The one that the environment names, which then names it no more: a job's program must not be able to
    say that all is well, or that this process ends.
    """
    given = {name: environ.pop(name, "") for name in (SOCKET, WATCHDOG, WATCHDOG_PID)}
    address = given[SOCKET]
    # Other kinds of sockets (vsock:) are for the manager of a virtual machine.
    return ServiceManager(address if address[:1] in ("/", "@") else "", _watchdog_s(given))


def _watchdog_s(given: Mapping[str, str]) -> float | None:
    if given[WATCHDOG_PID] not in ("", str(os.getpid())):
        return None
    try:
        return int(given[WATCHDOG]) / 1e6 or None
    except ValueError:
        return None
