"""A ComfyUI-shaped server on loopback that draws patterns: of the demo, and of tests. No model is in it."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

#: What an export by «Save (API format)» looks like, as small as can be.
GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": "{seed}", "positive": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "{prompt}"}},
    "9": {
        "class_type": "SaveImage",
        "inputs": {"images": ["3", 0], "width": "{width}", "height": "{height}"},
    },
}
SIZE = (160, 90)


class ComfyReply(NamedTuple):
    status: int
    content: bytes
    kind: str = "application/json"


class ComfyServer:
    """`prompts`: id → graph, in their order. `leaves_after`: gone, as if killed, when so many were made."""

    def __init__(self, port: int = 0, leaves_after: int | None = None) -> None:
        self.prompts: dict[str, dict[str, Any]] = {}
        #: Every path that was asked for.
        self.paths: list[str] = []
        #: By which requests were asked again.
        self.keys: list[str] = []
        self.leaves_after = leaves_after
        self.fetched = 0
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def leave(self) -> None:
        """From now on nobody listens there."""
        if not self._gone.is_set():
            self._gone.set()
            self._http.shutdown()
            self._http.server_close()

    def answer(self, method: str, path: str, body: bytes) -> ComfyReply:
        parts = urlsplit(path)
        with self._lock:
            self.paths.append(f"{method} {parts.path}")
        match method, parts.path.strip("/").split("/"):
            case "GET", ["system_stats"]:
                return _json({"system": {"os": "posix", "comfyui_version": "0.3"}, "devices": []})
            case "GET", ["queue"]:
                return _json({"queue_running": [], "queue_pending": []})
            case "POST", ["queue"]:
                return ComfyReply(200, b"")
            case "POST", ["prompt"]:
                return self.prompt(json.loads(body))
            case "GET", ["history", prompt_id]:
                return self.history(prompt_id)
            case "GET", ["view"]:
                return self.view(parse_qs(parts.query).get("filename", [""])[0])
            case _:
                return ComfyReply(404, b"not found", "text/plain")

    def prompt(self, said: dict[str, Any]) -> ComfyReply:
        prompt_id = str(said.get("prompt_id") or uuid.uuid4())
        with self._lock:
            self.prompts[prompt_id] = said["prompt"]
        return _json({"prompt_id": prompt_id, "number": len(self.prompts), "node_errors": {}})

    def history(self, prompt_id: str) -> ComfyReply:
        if prompt_id not in self.prompts:
            return _json({})
        images = [{"filename": f"{prompt_id}.png", "subfolder": "", "type": "output"}]
        status = {"status_str": "success", "completed": True, "messages": []}
        return _json({prompt_id: {"outputs": {"9": {"images": images}}, "status": status}})

    def view(self, file: str) -> ComfyReply:
        graph = self.prompts.get(file.removesuffix(".png"))
        if graph is None:
            return ComfyReply(404, b"not found", "text/plain")
        with self._lock:
            self.fetched += 1
            is_last = self.leaves_after is not None and self.fetched >= self.leaves_after
        if is_last:
            threading.Thread(target=self.leave, daemon=True).start()
        return ComfyReply(200, drawn(json.dumps(graph)), "image/png")


def drawn(words: str) -> bytes:
    """A PNG of stripes and rings whose colours come of the words."""
    r, g, b, step = hashlib.sha256(words.encode()).digest()[:4]
    width, height = SIZE
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            ring = ((x - width // 2) ** 2 + (y - height // 2) ** 2) // (200 + step * 4) % 2
            rows += bytes(((r + x) % 256, (g + 2 * y) % 256, 255 - b if ring else b))
    return png(width, height, bytes(rows))


def png(width: int, height: int, rows: bytes) -> bytes:
    """`rows`: each a zero, and then red, green and blue of its points."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _json(value: Any) -> ComfyReply:
    return ComfyReply(200, json.dumps(value).encode())


def _handler(server: ComfyServer) -> type[BaseHTTPRequestHandler]:
    class ComfyHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def _reply(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.keys += self.headers.get_all("Idempotency-Key", [])
            said = server.answer(method, self.path, body)
            self.send_response(said.status)
            self.send_header("Content-Type", said.kind)
            self.send_header("Content-Length", str(len(said.content)))
            self.end_headers()
            self.wfile.write(said.content)

        def log_message(self, format: str, *args: Any) -> None:
            """The demo's screen is for the demo."""

    return ComfyHandler
