"""Forty short texts in a SQLite store, and a model on loopback that at times answers wrongly, or is busy.

Called again, the corpus has grown: forty more are to be annotated.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DOCUMENTS = 40
TOPICS = ("snow", "bread", "trains", "chess", "bees", "glass")
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": list(TOPICS)}, "words": {"type": "integer", "minimum": 1}},
    "required": ["label", "words"],
    "additionalProperties": False,
}
INSTRUCTION = 'Annotate every text with {"label": its topic, "words": how many words it has}.'
SETTINGS = """
[roots.data]
path = "data"
headroom_bytes = 0

[stores.corpus]
url = "sqlite:data/corpus.db"

[endpoints.mine]
base_url = "{url}"
model = "demo-local"

[endpoints.sky]
base_url = "{url}"
model = "demo-cloud"
usd_per_million_input = 0.15
usd_per_million_output = 0.60

[rates.sky]
requests_per_min = 600
usd_per_day = 1.0
"""


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    make_corpus(folder / "data")
    schema = folder / "schema.json"
    schema.write_text(json.dumps(SCHEMA, indent=1), encoding="utf-8")
    with a_model() as url:
        config = folder / "conductor.toml"
        mark = config.read_text(encoding="utf-8").splitlines()[0]
        config.write_text(f"{mark}\n{SETTINGS.format(url=url)}", encoding="utf-8")
        yield [
            *("store:corpus", "--local", "mine", "--local-lane", "io", "--cloud", "sky"),
            *("--batch", "6", "--usd", "0.5", "--schema", str(schema), "--instruction", INSTRUCTION),
        ]


def make_corpus(folder: Path) -> None:
    """As an ordinary program would have made it; two texts are annotated already, and one is empty. Where no
    gap is left it grows.
    """
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / "corpus.db")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, text TEXT)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS annotations "
            "(document_id INTEGER PRIMARY KEY, annotation TEXT NOT NULL)"
        )
        (last, gaps) = db.execute(
            "SELECT coalesce(max(id), 0), count(*) FILTER (WHERE text != '' AND id NOT IN "
            "(SELECT document_id FROM annotations)) FROM documents"
        ).fetchone()
        if gaps:
            return
        rows = [(n, text_of(n)) for n in range(last + 1, last + DOCUMENTS + 1)]
        db.executemany("INSERT INTO documents VALUES (?, ?)", [*rows, (last + DOCUMENTS + 1, "")])
        by_hand = [(n, json.dumps({"label": "by hand", "words": 1})) for n in (last + 1, last + 2)]
        db.executemany("INSERT INTO annotations VALUES (?, ?)", by_hand)


def text_of(number: int) -> str:
    topic = TOPICS[number % len(TOPICS)]
    return " ".join([f"Note {number} is about {topic}", *["and more of it"] * (number % 4)]) + "."


@contextmanager
def a_model() -> Generator[str]:
    """The address of a server that speaks as much of the OpenAI API as is used here."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), DemoModel)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class DemoModel(BaseHTTPRequestHandler):
    """Every third first answer forgets a text, and labels another one with a word that the schema does not
    have; told so, it does better. At the second request it is busy for a second.
    """

    protocol_version = "HTTP/1.1"
    asked = 0
    _lock = threading.Lock()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        with DemoModel._lock:
            DemoModel.asked += 1
            number = DemoModel.asked
        if number == 2:
            self._send(503, {"error": {"message": "busy, come back"}}, {"Retry-After": "1"})
            return
        system, user = (message["content"] for message in body["messages"][-2:])
        is_told = "could not be used" in system
        found = {item["id"]: annotated(item["text"]) for item in json.loads(user)}
        if number % 3 == 0 and not is_told:
            found.pop(next(iter(found)))
            found[next(reversed(found))]["label"] = "something else"
        self._send(200, answer_of(body, json.dumps({"annotations": found})), {})

    def _send(self, status: int, content: dict[str, Any], headers: dict[str, str]) -> None:
        sent = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:
        """Whoever looks at a demo reads of jobs."""


def annotated(text: str) -> dict[str, Any]:
    label = next(topic for topic in TOPICS if topic in text)
    return {"label": label, "words": len(text.split())}


def answer_of(body: dict[str, Any], content: str) -> dict[str, Any]:
    prompt, told = sum(len(message["content"]) for message in body["messages"]) // 4, len(content) // 4
    return {
        "object": "chat.completion",
        "model": body.get("model", ""),
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": told, "total_tokens": prompt + told},
    }
