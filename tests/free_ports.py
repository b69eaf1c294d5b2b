"""Ports of loopback for servers that are told theirs, or whose port is to be free for a while."""

from __future__ import annotations

import random
import socket

#: Below those from which the kernel takes one for each connection that goes out: between two looks at such a
#: one, any process may be given it.
FIRST, LAST = 12_000, 22_000


def a_free_port() -> int:
    """One on which nobody listens. Its number + 10,000 is a port, too: a cluster listens there."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
