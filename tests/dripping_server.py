"""A server on loopback that answers a byte at a time: each starts the limit of a read anew."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

#: What is said at once, before it drips.
DRIPS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{",
    "body without a length": b"HTTP/1.1 200 OK\r\n\r\n{",
}


@contextmanager
def dripping(head: bytes) -> Generator[int]:
    """A server that says `head` at once, and from then on a byte a tenth of a second; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(head)
            while not over.wait(0.1):
                connection.sendall(b"x")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        over.set()
        listening.close()
        thread.join()
