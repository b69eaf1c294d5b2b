"""Which server is the primary now, by what the Sentinels say; and an end to connections with the one before.

redis-py asks one Sentinel, and only when a connection is made. A connection that hangs on a stopped server
would hang for as long as its timeout, and one to a server that was cut off and still takes writes for ever.
So each process asks all Sentinels once a second while it has connections. The newest of their configurations
counts (failovers are numbered), and what is still open to another server is shut down under whoever reads
from it: redis-py then connects again, and the step is sent again.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct
from redis import exceptions

from conductor.adapters.redis.sentinel.sentinel_url import HostPort, SentinelUrl, shown

#: So often all Sentinels are asked.
WATCH_S = 1.0
#: When a connection is made, what was heard before that is asked again.
FRESH_S = 1.5
#: Sentinels that were made anew count failovers from 0 again: what nobody else has said for so long is
#: forgotten once most of them say something older.
REMEMBERED_S = 10.0


class NamedPrimary(Struct, frozen=True, kw_only=True):
    """What one Sentinel says."""

    #: Counts failovers. A Sentinel that was cut off for a while tells an older one.
    epoch: int
    place: HostPort


#: Raises redis-py's errors.
Ask = Callable[[HostPort], NamedPrimary]


class NoPrimaryError(exceptions.ConnectionError):
    """No Sentinel says which server it is; each one's words."""


class PrimaryFinder:
    """One for all connections of a client. Threads share it, and forked processes may inherit it."""

    def __init__(self, url: SentinelUrl, ask: Ask) -> None:
        self.url = url
        self._ask = ask
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._named: NamedPrimary | None = None
        self._heard_at = self._confirmed_at = float("-inf")
        self._sockets: weakref.WeakKeyDictionary[socket.socket, HostPort] = weakref.WeakKeyDictionary()
        self._watcher: threading.Thread | None = None

    @property
    def label(self) -> str:
        """What to call the server in a message: «mymaster (10.0.0.5:6379)»."""
        where = shown(self._named.place) if self._named else f"Sentinels {self.url.shown_sentinels}"
        return f"{self.url.service} ({where})"

    def primary(self) -> HostPort:
        """For a new connection. Raises `NoPrimaryError`. Where no Sentinel answers any more, the last one
        that was named goes on."""
        if self._pid != os.getpid():
            self._begin()  # A fork inherits no thread, and perhaps a lock that somebody held.
        if self._named is None or time.monotonic() - self._heard_at > FRESH_S:
            self.look(self.url.majority)
        if self._named is None:
            raise NoPrimaryError(f"no Sentinel says which server is {self.url.service}")
        return self._named.place

    def look(self, enough: int) -> None:
        """Asks until so many have answered, and lets go of what is not the primary (any more). Raises
        `NoPrimaryError` where nobody answers, nor ever did."""
        answers, faults = list[NamedPrimary](), list[str]()
        for place in self.url.sentinels:
            try:
                answers.append(self._ask(place))
            except exceptions.RedisError as e:
                faults.append(f"{shown(place)}: {e}")
            if len(answers) >= enough:
                break
        with self._lock:
            if answers:
                self._believe(answers, time.monotonic())
            elif self._named is None:
                raise NoPrimaryError("; ".join(faults))
        self._let_go()

    def _believe(self, answers: Sequence[NamedPrimary], now: float) -> None:
        is_remembered = len(answers) < self.url.majority or now - self._confirmed_at < REMEMBERED_S
        found = newest(self._named if is_remembered else None, answers)
        if any(answer.epoch == found.epoch for answer in answers):
            self._confirmed_at = now
        self._named, self._heard_at = found, now

    def connected(self, sock: socket.socket, place: HostPort) -> None:
        """A connection is being made: it is watched before the server has said a word."""
        with self._lock:
            self._sockets[sock] = place
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(
                    target=_watch, args=(weakref.ref(self),), name="sentinels", daemon=True
                )
                self._watcher.start()

    def _let_go(self) -> None:
        with self._lock:
            named = self._named
            left = [sock for sock, place in self._sockets.items() if named and place != named.place]
            for sock in left:
                del self._sockets[sock]
        for sock in left:
            with suppress(OSError):
                # Under TLS too only the socket below: who reads from it must not find its TLS gone.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def is_needed(self) -> bool:
        """Does any connection stand? Where none does the watcher leaves, and the next one has another."""
        with self._lock:
            if not any(sock.fileno() >= 0 for sock in self._sockets):
                self._watcher = None
            return self._watcher is not None


def _watch(finder: weakref.ref[PrimaryFinder]) -> None:
    """Until nobody has a connection any more."""
    while True:
        time.sleep(WATCH_S)
        found = finder()
        if found is None or not found.is_needed():
            return
        with suppress(exceptions.RedisError):
            found.look(len(found.url.sentinels))
        del found


def newest(known: NamedPrimary | None, answers: Sequence[NamedPrimary]) -> NamedPrimary:
    """Pure. Of equal age the known one, while anybody still says it: Sentinels may spell one server in two
    ways."""
    top = max(answer.epoch for answer in answers)
    places = [answer.place for answer in answers if answer.epoch == top]
    if known is not None and known.epoch > top:
        return known
    if known is not None and known.place in places:
        return NamedPrimary(epoch=top, place=known.place)
    return NamedPrimary(epoch=top, place=places[0])
