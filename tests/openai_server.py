"""A server on loopback that speaks as much of the OpenAI chat completions API as `llm.annotate` uses.

It can refuse (429 with Retry-After), fail (5xx) and babble (malformed answers), and counts all it did.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Literal

from chat_server import ChatServer

RetryAfter = Literal["seconds", "date", "ms", "none"]
Babble = Literal["prose", "not json", "half", "cut off"]


class OpenAIServer(ChatServer):
    """`requests_per_min` within a sliding `window_s`; the first `fail_first` requests get `fail_status`, the
    next `babble_first` a malformed answer of kind `babble`; with `api_key` others than its bearer get 401.
    """

    def __init__(
        self,
        *,
        requests_per_min: int | None = None,
        window_s: float = 60.0,
        retry_after: RetryAfter = "seconds",
        announces: bool = True,
        fail_first: int = 0,
        fail_status: int = 503,
        babble_first: int = 0,
        babble: Babble = "prose",
        api_key: str | None = None,
        latency_s: float = 0.0,
    ) -> None:
        self.requests_per_min = requests_per_min
        self.window_s = window_s
        self.retry_after, self.announces = retry_after, announces
        self.fail_left, self.fail_status = fail_first, fail_status
        self.babble_left = babble_first
        self.babble: Babble = babble
        self.api_key = api_key
        self.latency_s = latency_s
        #: What it did so far: answered 200 and well, 429, 5xx, malformed, 401 or 404.
        self.served = self.refused = self.failed = self.babbled = self.rejected = 0
        #: Every request body that was answered, in order.
        self.requests: list[dict[str, Any]] = []
        #: When each request came, refused ones too.
        self.arrivals: list[float] = []
        self._recent: deque[float] = deque()
        super().__init__()

    def reply(
        self, path: str, headers: Mapping[str, str], body: dict[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        self.arrivals.append(time.monotonic())
        if self.latency_s:
            time.sleep(self.latency_s)
        with self._lock:
            if not path.endswith("/chat/completions"):
                self.rejected += 1
                return error(404, f"no such path: {path}")
            if self.api_key is not None and bearer != self.api_key:
                self.rejected += 1
                return error(401, "Incorrect API key provided")
            if (wait_s := self._take()) is not None:
                self.refused += 1
                return error(429, "Rate limit reached", self._wait_headers(wait_s))
            if self.fail_left > 0:
                self.fail_left -= 1
                self.failed += 1
                return error(self.fail_status, "The server had an error")
            self.requests.append(body)
            if self.babble_left > 0:
                self.babble_left -= 1
                self.babbled += 1
                return 200, {}, babbled(self.babble, body)
            self.served += 1
            return 200, self._budget_headers(), completion(annotated(body), body)

    def most_in_a_window(self) -> int:
        at = sorted(self.arrivals)
        return max((bisect_left(at, one + self.window_s) - i for i, one in enumerate(at)), default=0)

    def _take(self) -> float | None:
        """Seconds until there is room again; None: there is, and it is taken."""
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= self.window_s:
            self._recent.popleft()
        if self.requests_per_min is not None and len(self._recent) >= self.requests_per_min:
            # The limit may have been lowered meanwhile: more than one has to go.
            return self._recent[len(self._recent) - self.requests_per_min] + self.window_s - now
        self._recent.append(now)
        return None

    def _wait_headers(self, wait_s: float) -> dict[str, str]:
        if self.retry_after == "none":
            return {}
        if self.retry_after == "ms":
            return {"Retry-After-Ms": str(math.ceil(wait_s * 1000))}
        if self.retry_after == "date":
            return {"Retry-After": formatdate(time.time() + math.ceil(wait_s), usegmt=True)}
        return {"Retry-After": str(max(1, math.ceil(wait_s)))}

    def _budget_headers(self) -> dict[str, str]:
        if self.requests_per_min is None or not self.announces:
            return {}
        left = self.requests_per_min - len(self._recent)
        return {
            "x-ratelimit-limit-requests": str(self.requests_per_min),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-remaining-tokens": str(left * 1000),
        }


def annotated(body: dict[str, Any]) -> str:
    """The model's words: each item of the last message annotated with how long its text is."""
    items = json.loads(body["messages"][-1]["content"])
    return json.dumps({"annotations": {item["id"]: f"{len(item['text'])} characters" for item in items}})


def completion(content: str, body: dict[str, Any], finish: str = "stop") -> bytes:
    prompt = sum(len(message["content"]) for message in body["messages"]) // 4
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", ""),
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(content) // 4,
            "total_tokens": prompt + len(content) // 4,
        },
    }
    return json.dumps(answer).encode()


def babbled(kind: Babble, body: dict[str, Any]) -> bytes:
    if kind == "not json":
        return b"<html>gateway</html>"
    if kind == "half":
        words = json.loads(annotated(body))
        kept = dict(list(words["annotations"].items())[:-1])
        return completion(json.dumps({"annotations": kept}), body)
    if kind == "cut off":
        return completion(annotated(body)[:20], body, "length")
    return completion("Sure! Here is what I think of these texts.", body)


def error(
    status: int, message: str, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    return (
        status,
        headers or {},
        json.dumps({"error": {"message": message, "type": "error", "code": None}}).encode(),
    )
