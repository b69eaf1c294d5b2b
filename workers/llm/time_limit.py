"""A limit in time over one whole request: its headers too may drip, a byte a second, and each byte starts a
read's own limit anew."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


class TimeLimit:
    """Context manager. `watch` is told of each request before it goes; its connection ends when the time is
    up."""

    def __init__(self, seconds: float) -> None:
        #: The time is up: whatever came by then is not all.
        self.is_over = False
        #: All of the request has left this host.
        self.is_sent = False
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> TimeLimit:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def watch(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._trace}

    def _trace(self, event: str, about: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = about["return_value"]
            if self.is_over:
                self._end()
        self.is_sent = self.is_sent or event.endswith(".send_request_body.complete")

    def _end(self) -> None:
        self.is_over = True
        found = None if self._stream is None else self._stream.get_extra_info("socket")
        if found is not None:
            # It may have ended by itself.
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
