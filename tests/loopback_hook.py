"""A real HTTP server on loopback that keeps what it is sent: a webhook, a chat, a dead-man's switch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Heard(NamedTuple):
    path: str
    body: bytes


class Hook(ThreadingHTTPServer):
    """`status`: what it answers. `heard`: what came, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookHandler)
        self.status = 200
        self.heard: queue.Queue[Heard] = queue.Queue()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def all(self) -> list[Heard]:
        """What came and was not looked at yet."""
        return [self.heard.get() for _ in range(self.heard.qsize())]

    def next(self, limit_s: float = 20.0) -> Heard:
        return self.heard.get(timeout=limit_s)


class HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.server.heard.put(Heard(self.path, self.rfile.read(length)))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
