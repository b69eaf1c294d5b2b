"""The only file that knows the openai client: one chat request, its refusals as errors the conductor understands."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from conductor.errors import BadInput, JobError, RateLimited, Refused, ServerError
from conductor.model.calls import Call
from conductor.text import printable
from workers.context import JobContext
from workers.llm.headers import requests_budget, retry_after_s, tokens_budget

if TYPE_CHECKING:
    from openai import APIStatusError

    from conductor.settings import Endpoint

CONNECT_S = 10.0
#: Answers of the 4xx family that another try may well not get.
_PASSING = (408, 409, 425)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `budget` holds the server's x-ratelimit headers, as numbers where they are numbers."""

    text: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    budget: dict[str, float | str]


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def total(self) -> int | None:
        known = [count for count in (self.prompt_tokens, self.completion_tokens) if count is not None]
        return sum(known) if known else None


class _Counted(msgspec.Struct):
    usage: _Usage | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


def ask(ctx: JobContext, name: str, system: str, user: str, max_tokens: int) -> Answer:
    """One request to the endpoint `name`, within what is left of the attempt's time. What it came to is told.

    Raises `RateLimited`, `ServerError` (5xx, no connection), `BadInput` (other 4xx), `JobError` (no usable answer).
    """
    import openai

    endpoint = endpoint_of(ctx, name)
    request: dict[str, Any] = {
        "model": endpoint.model or "default",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    timeout = openai.Timeout(max(1.0, ctx.remaining_s()), connect=CONNECT_S)
    # Retries of the client would spend a budget that the conductor keeps: one 429 would become three.
    began = time.monotonic()
    with openai.OpenAI(base_url=endpoint.base_url, api_key=key_of(endpoint, name), max_retries=0) as client:
        try:
            raw = client.with_options(timeout=timeout).chat.completions.with_raw_response.create(**request)
        except openai.APIStatusError as e:
            raise told_refusal(ctx, e, name, time.monotonic() - began) from None
        except openai.APIConnectionError as e:
            ctx.called(Call(key=name, outcome="failed", took_s=time.monotonic() - began))
            raise ServerError(f"{name} at {host_of(endpoint)} did not answer: {e.__cause__ or e}") from None
        return told_answer(ctx, raw.content, raw.headers, name, time.monotonic() - began)


def told_refusal(ctx: JobContext, e: APIStatusError, name: str, took_s: float) -> JobError:
    error, now, headers = refusal(e, name), time.time(), e.response.headers
    closes = error.retry_after_s if isinstance(error, RateLimited) else None
    call = Call(
        key=name,
        outcome="failed" if closes is None else "refused",
        took_s=took_s,
        closes_for_s=closes,
        requests=requests_budget(headers, now),
        token_budget=tokens_budget(headers, now),
    )
    ctx.called(call)
    return error


def told_answer(ctx: JobContext, content: bytes, headers: Mapping[str, str], name: str, took_s: float) -> Answer:
    """Tokens of an answer that is of no use were used all the same."""
    now = time.time()
    try:
        usage = msgspec.json.decode(content, type=_Counted).usage
    except msgspec.DecodeError:
        usage = None
    call = Call(
        key=name,
        outcome="ok",
        took_s=took_s,
        tokens=None if usage is None else usage.total,
        usd=None if usage is None else price(usage, ctx.settings.endpoints[name]),
        requests=requests_budget(headers, now),
        token_budget=tokens_budget(headers, now),
    )
    ctx.called(call)
    return understood(content, headers, name)


def price(usage: _Usage, endpoint: Endpoint) -> float | None:
    """USD; None where no price or no count is known."""
    asked, told = endpoint.usd_per_million_input, endpoint.usd_per_million_output
    if usage.total is None or not (asked or told):
        return None
    return ((usage.prompt_tokens or 0) * asked + (usage.completion_tokens or 0) * told) / 1_000_000


def endpoint_of(ctx: JobContext, name: str) -> Endpoint:
    endpoints = ctx.settings.endpoints
    if name not in endpoints:
        known = ", ".join(sorted(endpoints)) or "none yet"
        raise BadInput(f"args.endpoint: conductor.toml has no [endpoints.{name}] (there is: {known})")
    return endpoints[name]


def host_of(endpoint: Endpoint) -> str:
    """Where it is, without a user and password that may stand in the address."""
    return urlsplit(endpoint.base_url).netloc.rpartition("@")[2]


def key_of(endpoint: Endpoint, name: str) -> str:
    """The key from this process's environment; it is never written anywhere. Local servers need none."""
    if endpoint.api_key_env is None:
        return "none"
    if key := os.environ.get(endpoint.api_key_env):
        return key
    raise Refused(f"the key of endpoint {name} is missing: set {endpoint.api_key_env} in the workers' environment")


def refusal(e: APIStatusError, name: str) -> JobError:
    """An answer that is not 2xx as the error that says what to do."""
    words = printable(e.message)[:300]
    if e.status_code == 429:
        after_s = retry_after_s(e.response.headers, time.time())
        return RateLimited(f"{name} is rate limited, it says to come back in {after_s:g} s", name, after_s)
    if e.status_code >= 500 or e.status_code in _PASSING:
        return ServerError(f"{name} answered {e.status_code}: {words}")
    if e.status_code in (401, 403):
        return BadInput(f"{name} does not accept the key (answer {e.status_code}): check its api_key_env")
    return BadInput(f"{name} refused the request with {e.status_code}: {words}")


def understood(content: bytes, headers: Mapping[str, str], name: str) -> Answer:
    try:
        answer = msgspec.json.decode(content, type=_Completion)
    except msgspec.DecodeError as e:
        raise JobError(f"{name} sent something that is no chat completion: {e}") from None
    if not answer.choices or not answer.choices[0].message.content:
        raise JobError(f"{name} sent an empty answer")
    if answer.choices[0].finish_reason == "length":
        raise JobError(f"the answer of {name} was cut off at max_tokens: raise it, or put fewer items in a job")
    usage = answer.usage or _Usage()
    return Answer(
        text=answer.choices[0].message.content,
        model=answer.model or "",
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        budget=budget(headers),
    )


def budget(headers: Mapping[str, str]) -> dict[str, float | str]:
    """`x-ratelimit-remaining-requests: 29` → {"remaining_requests": 29.0}."""
    prefix = "x-ratelimit-"
    found = {k.lower(): v for k, v in headers.items() if k.lower().startswith(prefix)}
    return {key.removeprefix(prefix).replace("-", "_"): number(value) for key, value in sorted(found.items())}


def number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value[:40]


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a model's words, also between ``` fences or pleasantries; None when there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        return msgspec.json.decode(text[start : end + 1], type=dict[str, Any])
    except msgspec.DecodeError:
        return None
