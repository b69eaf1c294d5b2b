"""A connection whose other end is gone without a word (a power cut, a cable, a server that was killed behind
one): the kernel finds out. Who waits for an answer would wait for as long as a step may take at most."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

#: Silent for so long, the other end is asked whether it is there; after so long without a word it is not.
ASKED_AFTER_S, ASKED_EVERY_S, GONE_AFTER_S = 2, 1, 5
#: As far as this system has them; where it has not, its own patience holds, which may be hours.
OPTIONS = {
    "TCP_KEEPIDLE": ASKED_AFTER_S,
    "TCP_KEEPINTVL": ASKED_EVERY_S,
    "TCP_KEEPCNT": GONE_AFTER_S - ASKED_AFTER_S,
    # Of what was sent and is not acknowledged (ms): while it is under way nobody is asked.
    "TCP_USER_TIMEOUT": 1000 * GONE_AFTER_S,
}


def keepalive(url: str) -> dict[str, Any]:
    """redis-py's options for an address; none where nothing lies between."""
    if urlsplit(url).scheme == "unix":
        return {}
    known = {getattr(socket, name): value for name, value in OPTIONS.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}
