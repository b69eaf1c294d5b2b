"""A connection whose other end is gone without a word: who waits for an answer hears of it from the kernel,
long before its own patience ends."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

import pytest

from conductor.adapters.redis.client import SOCKET_TIMEOUT_S, connect
from conductor.adapters.redis.keepalive import GONE_AFTER_S

#: Of Linux: a socket that is closed under repair says nothing to the other end.
TCP_REPAIR = 19


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux, and root for TCP_REPAIR"
)
def test_who_waits_for_a_server_that_vanished_goes_on_with_the_next_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            vanishes, _ = listener.accept()
            vanishes.recv(4096)
            vanishes.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            vanishes.close()
            answers, _ = listener.accept()
            with answers:
                # A new connection is tried first.
                while asked := answers.recv(4096):
                    answers.sendall(b"+PONG\r\n" * asked.count(b"PING"))

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        with connect(f"redis://127.0.0.1:{listener.getsockname()[1]}/0") as client:
            began = time.monotonic()
            assert client.ping()
        server.join()

    assert time.monotonic() - began < (GONE_AFTER_S + SOCKET_TIMEOUT_S) / 2
