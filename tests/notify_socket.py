"""A service manager's end of $NOTIFY_SOCKET: a real datagram socket that keeps what was said."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotifySocket:
    def __init__(self, line: socket.socket, address: str) -> None:
        self._line = line
        self.address = address
        self.heard: list[str] = []

    def hear(self) -> list[str]:
        """All words up to now, in order, those of earlier calls included."""
        while True:
            try:
                self.heard += self._line.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.heard

    def until(self, word: str, limit_s: float = 30.0) -> str:
        """The first word that begins so."""
        end = time.monotonic() + limit_s
        while not (found := [each for each in self.hear() if each.startswith(word)]):
            assert time.monotonic() < end, f"{word} was not said; heard: {self.heard}"
            time.sleep(0.02)
        return found[0]


@contextmanager
def notify_socket(place: Path | str) -> Iterator[NotifySocket]:
    """`place`: a path, or `@name` in the abstract name space."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        name = str(place)
        line.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        line.setblocking(False)
        yield NotifySocket(line, name)
