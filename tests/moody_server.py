"""A server on loopback that answers chat requests as it is told: by a function of the request and of its
number.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from openai_server import annotated, completion


class Said(NamedTuple):
    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = {}


#: (request, the how many-th it is, from 1 on) → what to answer.
Mood = Callable[[dict[str, Any], int], Said]


class MoodyServer:
    """`requests`, `paths`, `headers`, `arrivals` (epoch seconds): of all that came, in order."""

    def __init__(self, mood: Mood, port: int = 0) -> None:
        self.mood = mood
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler_of(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> MoodyServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def came(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Said:
        with self._lock:
            self.requests.append(body)
            self.paths.append(path)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self.arrivals.append(time.time())
            number = len(self.requests)
        return self.mood(body, number)


def good(request: dict[str, Any], number: int = 0, **changes: Any) -> Said:
    """All items annotated; `changes` stand over the members of the answer."""
    content = json.loads(request["messages"][-1]["content"].rpartition("\n\n")[2])
    words = annotated({"messages": [{"content": json.dumps(content)}]})
    return Said(200, json.loads(completion(words, request)) | changes)


def saying(content: Any, finish: str = "stop", **more: Any) -> Mood:
    """An answer with this content."""

    def mood(request: dict[str, Any], number: int) -> Said:
        answer = json.loads(completion("", request, finish))
        answer["choices"][0]["message"] |= {"content": content, **more}
        return Said(200, answer)

    return mood


def refusing(status: int, message: str, code: Any = None, headers: Mapping[str, str] | None = None) -> Mood:
    """An error in OpenAI's form, always."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return lambda request, number: Said(status, body, headers or {})


def handler_of(server: MoodyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = server.came(self.path, dict(self.headers), json.loads(raw))
            body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests count; they do not read logs."""

    return Handler
