"""An engine's HTTP API: one question, one answer in JSON, within a limit, without a second try."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from conductor.base.errors import Unreachable


class JsonAnswer(NamedTuple):
    status: int
    #: Decoded; a text where it is no JSON.
    body: Any


class JsonApi:
    def __init__(self, url: str, token_file: str = "", ca_file: str = "", patience_s: float = 10.0) -> None:
        """`token_file`: what goes over as the bearer's token, read again for each question, since clusters
        renew it. `ca_file`: whom to trust; "": whom this host trusts."""
        self._url, self._patience_s = url.rstrip("/"), patience_s
        self._token_file = Path(token_file) if token_file else None
        self._verify = (
            ssl.create_default_context(cafile=ca_file or None) if url.startswith("https:") else False
        )

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> JsonAnswer:
        """Raises `Unreachable` where there was no answer, or one that says that it is not to be had now."""
        headers = {"Content-Type": kind}
        try:
            if self._token_file is not None:
                headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
            # A connection each: what is asked each second at most needs none that stays open.
            answer = httpx.request(
                method, self._url + path, headers=headers,
                content=None if body is None else msgspec.json.encode(body),
                verify=self._verify, timeout=self._patience_s, trust_env=False,
            )  # fmt: skip
        except (httpx.HTTPError, OSError) as e:
            raise Unreachable(f"{self._url} gives no answer: {e or type(e).__name__}") from e
        if answer.status_code in (408, 429, 502, 503, 504):
            raise Unreachable(f"{self._url} answers {answer.status_code} to {method} {path}")
        try:
            return JsonAnswer(answer.status_code, msgspec.json.decode(answer.content))
        except msgspec.DecodeError:
            return JsonAnswer(answer.status_code, answer.text)

    def get(self, path: str) -> Any:
        """Raises `Unreachable`, also for any answer but 200."""
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise Unreachable(f"{self._url} answers {answer.status} to GET {path}")
        return answer.body
