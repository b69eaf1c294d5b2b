"""One connection: what a route has to know of it and uvicorn does not tell, and an end for those who never
ask.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Whoever has not sent a whole head by then is let go.
HEAD_S = 10.0


class Connection(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        own: Any = transport.get_extra_info("socket")
        self.app_state = {
            **self.app_state,
            # Its file is the owner's alone.
            "is_own_socket": own is not None and own.family == socket.AF_UNIX,
            # A reader that is too slow is let go without what it has not fetched.
            "abort": transport.abort,
        }
        self._head_by = self.loop.call_later(HEAD_S, self._let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_by.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle:
            self._head_by.cancel()

    def _let_go(self) -> None:
        self.transport.abort()
