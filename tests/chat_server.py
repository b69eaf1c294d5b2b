"""What servers of chat requests on loopback have in common: a thread that hands each request to `reply`."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class ChatServer:
    """Use as a context manager. `base_url` goes into `[endpoints.NAME]`."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler_of(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def reply(
        self, path: str, headers: Mapping[str, str], body: dict[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of the answer to one request."""
        raise NotImplementedError


def handler_of(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class ChatHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            # Clients write the names of headers as they like.
            told = {name.title(): value for name, value in self.headers.items()}
            status, headers, body = server.reply(self.path, told, json.loads(raw))
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests count; they do not read logs."""

    return ChatHandler
