"""A server on loopback that answers chat requests as it is told: by a function of the request and of its
number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chat_server import ChatServer
from openai_server import annotated, completion


class Said(NamedTuple):
    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = {}


#: (request, the how many-th it is, from 1 on) → what to answer.
Mood = Callable[[dict[str, Any], int], Said]


class MoodyServer(ChatServer):
    """`requests`, `paths`, `headers`, `arrivals` (epoch seconds): of all that came, in order."""

    def __init__(self, mood: Mood, port: int = 0) -> None:
        self.mood = mood
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        super().__init__(port)

    def reply(
        self, path: str, headers: Mapping[str, str], body: dict[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        with self._lock:
            self.requests.append(body)
            self.paths.append(path)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self.arrivals.append(time.time())
            number = len(self.requests)
        said = self.mood(body, number)
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        return said.status, said.headers, content


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
