"""One request to an engine's server: bounded in time and size, led nowhere else, its refusals translated.

What a request came to is told once for each attempt (`ctx.called`): that is what closes the engine's gate.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

import msgspec

from conductor.base import secrets
from conductor.base.errors import BadInput, EndpointUnavailable, JobError, RateLimited, ServerError
from conductor.base.text import printable, size
from conductor.model.calls import Call, Trouble
from workers.llm.error_bodies import complaint_of
from workers.llm.error_meaning import RETRY_AFTER_S, TROUBLES, Meaning, meaning_of
from workers.llm.keys import BadKey, key_of
from workers.llm.time_limit import TimeLimit
from workers.task_api.context import JobContext
from workers.task_api.toolkit import leave_if_told

if TYPE_CHECKING:
    import httpx

    from conductor.base.settings.endpoint_settings import Endpoint

CONNECT_S = 5.0
#: A question is answered within so long, however the server drips; a film takes longer.
ANSWER_S, FILM_S = 30.0, 600.0
#: Whether a server is well it says at once.
HEALTH_S = 5.0
MOST_JSON, MOST_FILM = 8 << 20, 1 << 30
_REMEDIES: Mapping[Meaning, str] = {
    "account": "has no credit, or its account is closed: look at its plan",
    "key": "does not accept the key: check what its api_key_env holds",
    "model": "does not have the model: check its `model`",
    "address": "is not there under that address: check its base_url",
}


class EngineServer:
    """The server of one engine, for one attempt. Every method raises `EndpointUnavailable`, `RateLimited`,
    `ServerError` or `BadInput`, and has told of it."""

    def __init__(self, ctx: JobContext, name: str) -> None:
        self._ctx = ctx
        self.name = name
        self.endpoint = _endpoint_of(ctx, name)
        parts = urlsplit(self.endpoint.base_url)
        self.where = parts.netloc.rpartition("@")[2]
        self._base = self.endpoint.base_url.rstrip("/")
        self._headers: dict[str, str] = {}
        try:
            if not (parts.scheme in ("http", "https") and parts.hostname):
                raise BadKey(
                    f"the base_url of endpoint {name} is no address that begins with http:// or https://"
                )
            if (key := key_of(self.endpoint, name)) != "none":
                self._headers["Authorization"] = f"Bearer {key}"
        except BadKey as e:
            ctx.called(Call(key=name, outcome="uncalled", trouble="refuses", words=str(e)))
            raise EndpointUnavailable(str(e), name) from None
        self._took_s = 0.0
        self._is_health = False
        #: The last request left this host, and no answer came: whether it was taken nobody here knows.
        self.is_unanswered = False

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────

    def health(self, path: str) -> dict[str, Any]:
        """Whatever is wrong here is the server's fault, and costs the job no retry."""
        self._is_health = True
        said = self._json("GET", path, None, {}, HEALTH_S)
        self._is_health = False
        return said

    def get(self, path: str) -> dict[str, Any]:
        return self._json("GET", path, None, {}, ANSWER_S)

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._json("POST", path, msgspec.json.encode(body), sent, ANSWER_S)

    def order(self, path: str, body: Mapping[str, Any]) -> None:
        """Where nothing has to be answered."""
        with self._answer("POST", path, {}, msgspec.json.encode(body), {}, ANSWER_S) as answer:
            self._check(answer, lambda: self._read(answer, MOST_JSON, ANSWER_S))

    def fetch(self, path: str, file: Path, **query: str) -> int:
        """What is there into `file`; how many bytes it is. Nothing of the server's names the file."""
        size_bytes = 0
        with self._answer("GET", path, query, None, {}, FILM_S) as answer, file.open("wb") as out:
            self._check(answer, lambda: self._read(answer, MOST_JSON, FILM_S))
            for chunk in self._chunks(answer, MOST_FILM, FILM_S):
                out.write(chunk)
                size_bytes += len(chunk)
        if not size_bytes:
            self.fail("faulty", f"{self.name} sent an empty file")
        return size_bytes

    def done(self, *, tokens: int | None = None, usd: float | None = None) -> None:
        """It did what it was asked for, or sold it; `tokens`: milliseconds of film, by which it is paid."""
        self._tell("ok", tokens=tokens, usd=usd)

    def fail(self, trouble: Trouble | None, words: str) -> NoReturn:
        """Tells of it, and raises what a body raises then. None: the engine is well, and this is its answer
        to this request."""
        words = printable(secrets.scrub(words))
        if self._is_health and trouble in (None, "faulty"):
            trouble = "busy"
        self._tell("failed", trouble=trouble, words=words)
        if trouble is None or trouble == "faulty":
            raise ServerError(words)
        raise EndpointUnavailable(words, self.name)

    # ── one request ───────────────────────────────────────────────────────────────────────────────────────

    def _json(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], within_s: float
    ) -> dict[str, Any]:
        with self._answer(method, path, {}, body, headers, within_s) as answer:
            content = self._read(answer, MOST_JSON, within_s)
            self._check(answer, lambda: content)
        try:
            value = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            said = complaint_of(content).words[:120]
            self.fail("refuses", f"{self.name} sent no answer of its kind, check its base_url ({said})")
        return cast("dict[str, Any]", value)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        headers: Mapping[str, str],
        limit_s: float,
    ) -> Generator[httpx.Response]:
        import httpx

        leave_if_told(self._ctx)
        began = time.monotonic()
        within = max(1.0, min(limit_s, self._ctx.remaining_s()))
        limit, self.is_unanswered = TimeLimit(within), False
        try:
            with (
                limit,
                httpx.Client(
                    timeout=httpx.Timeout(within, connect=CONNECT_S),
                    follow_redirects=False,
                    event_hooks={"request": [limit.watch]},
                ) as client,
                client.stream(
                    method,
                    self._base + path,
                    params=dict(query),
                    content=body,
                    headers={"Content-Type": "application/json", **self._headers, **headers},
                ) as answer,
            ):
                yield answer
            if limit.is_over:
                # Where no length was said, it looks like an end.
                raise httpx.ReadTimeout("the time was up")
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            self._took_s = time.monotonic() - began
            self.is_unanswered = limit.is_sent
            is_late = isinstance(e, httpx.TimeoutException) and not isinstance(e, httpx.ConnectTimeout)
            why = "it did not answer in time" if is_late or limit.is_over else str(e) or type(e).__name__
            self.fail("down", f"{self.name} at {self.where} did not answer: {why}")
        finally:
            self._took_s = time.monotonic() - began

    def _read(self, answer: httpx.Response, most: int, within_s: float) -> bytes:
        return b"".join(self._chunks(answer, most, within_s))

    def _chunks(self, answer: httpx.Response, most: int, within_s: float) -> Iterator[bytes]:
        until, seen = time.monotonic() + max(1.0, min(within_s, self._ctx.remaining_s())), 0
        for chunk in answer.iter_bytes():
            leave_if_told(self._ctx)
            seen += len(chunk)
            if seen > most:
                self.fail(
                    "faulty", f"{self.name} sent more than {size(most)}: that is not what was asked for"
                )
            if time.monotonic() > until:
                self.fail("down", f"{self.name} at {self.where} sends too slowly to be waited for")
            yield chunk

    def _check(self, answer: httpx.Response, content: Any) -> None:
        """Of an answer that is an error: told and raised as what it means."""
        if 200 <= answer.status_code < 300:
            return
        complaint = complaint_of(content())
        said = meaning_of(answer.status_code, complaint, answer.headers, time.time())
        answered, words = f"{self.name} answered {answer.status_code}", complaint.words or "no words"
        match said.meaning:
            case "limited":
                wait_s = said.wait_s or RETRY_AFTER_S
                words = f"{self.name} is rate limited, to come back in {wait_s:g} s: {words}"
                self._tell("refused", trouble="limited", closes_for_s=wait_s, words=words)
                raise RateLimited(words, self.name, wait_s)
            case "request" | "filtered":
                self._tell("failed")
                raise BadInput(f"{self.name} refused the request with {answer.status_code}: {words}")
            case "busy":
                words = f"{answered}: {words}"
                self._tell("failed", trouble="busy", closes_for_s=said.wait_s, words=words)
                raise EndpointUnavailable(words, self.name, said.wait_s)
            case "faulty":
                self.fail("faulty", f"{answered}: {words}")
            case meaning:
                self.fail(TROUBLES[meaning], f"{self.name} {_REMEDIES[meaning]} ({answered}: {words})")

    def _tell(self, outcome: Any, **what: Any) -> None:
        self._ctx.called(Call(key=self.name, outcome=outcome, took_s=self._took_s, **what))


def _endpoint_of(ctx: JobContext, name: str) -> Endpoint:
    if name in ctx.settings.endpoints:
        return ctx.settings.endpoints[name]
    known = ", ".join(sorted(ctx.settings.endpoints)) or "none yet"
    raise JobError(f"conductor.toml has no [endpoints.{name}] (there is: {known}): add it, or plan again")
