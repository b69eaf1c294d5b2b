"""One chat request of a job: asked, what it came to told; an answer that is none as the error that says
what to do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from conductor.base.errors import BadInput, EndpointUnavailable, JobError, RateLimited, ServerError
from conductor.model.calls import Call, Trouble
from workers.llm import model_quirks
from workers.llm.answers import TokenUsage, said_of, usable
from workers.llm.connection import NoReply, Reply, Silence, elsewhere, host_of, post
from workers.llm.error_bodies import Complaint, complaint_of, error_within
from workers.llm.error_meaning import RETRY_AFTER_S, TROUBLES, Meaning, Refusal, meaning_of
from workers.llm.headers import requests_budget, tokens_budget
from workers.llm.keys import BadKey, key_of
from workers.task_api.context import JobContext

if TYPE_CHECKING:
    from conductor.base.settings.endpoint_settings import Endpoint

#: So many members of a request can be refused one after the other.
_MOST_REFUSED = 5
_SILENCES: Mapping[Silence, Trouble] = {"down": "down", "address": "refuses", "broke off": "faulty"}
#: Of refusals that everybody would get: what to do about them.
_REMEDIES: Mapping[Meaning, str] = {
    "account": "has no credit, or its account is closed: look at its plan",
    "key": "does not accept the key: check what its api_key_env holds",
    "model": "does not have the model {model!r}: check its `model`",
    "address": "takes no such request there: check its base_url",
}


class ChatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `budget` holds the server's x-ratelimit headers, as numbers where they are numbers."""

    text: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    #: By the prices of conductor.toml; None where these, or the counts, are not known.
    usd: float | None
    budget: dict[str, float | str]


def ask(ctx: JobContext, name: str, system: str, user: str, max_tokens: int) -> ChatAnswer:
    """One request to the endpoint `name`, within what is left of the attempt's time. What it came to is told.

    A member of the request that the model refuses is left out, and it is asked again: once for each model.
    Raises `RateLimited`, `EndpointUnavailable`, `ServerError` (5xx, broke off), `BadInput` (this request can
    never pass), `JobError` (no usable answer).
    """
    endpoint = endpoint_of(ctx, name)
    try:
        key = key_of(endpoint, name)
    except BadKey as e:
        ctx.called(Call(key=name, outcome="uncalled", trouble="refuses", words=str(e)))
        raise EndpointUnavailable(str(e), name) from None
    known = model_quirks.known(ctx.settings, endpoint)
    for _ in range(_MOST_REFUSED):
        body, began = known.body(endpoint, system, user, max_tokens), time.monotonic()
        try:
            reply = post(endpoint, key, body, ctx.remaining_s())
        except NoReply as e:
            raise told_silence(ctx, e, name, endpoint, time.monotonic() - began) from None
        complaint = complaint_in(reply)
        if complaint is None:
            return told_answer(ctx, reply, name, time.monotonic() - began)
        member = model_quirks.refused_member(status_of(reply, complaint), complaint, body)
        if member is None or member in endpoint.parameters or member in known.refused:
            raise told_refusal(ctx, reply, complaint, name, time.monotonic() - began)
        tell(ctx, name, reply, time.monotonic() - began)
        known = model_quirks.learned(ctx.settings, endpoint, member)
    raise BadInput(
        f"{name} refused {', '.join(known.refused)} one after the other: set endpoints.{name}.parameters"
    )


def endpoint_of(ctx: JobContext, name: str) -> Endpoint:
    endpoints = ctx.settings.endpoints
    if name not in endpoints:
        known = ", ".join(sorted(endpoints)) or "none yet"
        raise BadInput(f"args.endpoint: conductor.toml has no [endpoints.{name}] (there is: {known})")
    return endpoints[name]


def complaint_in(reply: Reply) -> Complaint | None:
    """None: it came as a success, and no error stands in it."""
    return error_within(reply.content) if 200 <= reply.status < 300 else complaint_of(reply.content)


def status_of(reply: Reply, complaint: Complaint) -> int:
    """An error inside of a 200 is as if it had come by itself; where it does not say, it is the server's."""
    return reply.status if reply.status >= 300 else complaint.status or 500


# ── what it came to ───────────────────────────────────────────────────────────────────────────────────────


def tell(ctx: JobContext, name: str, reply: Reply, took_s: float, **what: Any) -> None:
    """With what the server announces of its budgets."""
    now = time.time()
    call = Call(
        key=name,
        outcome=what.pop("outcome", "failed"),
        took_s=took_s,
        requests=requests_budget(reply.headers, now),
        token_budget=tokens_budget(reply.headers, now),
        **what,
    )
    ctx.called(call)


def told_silence(ctx: JobContext, error: NoReply, name: str, endpoint: Endpoint, took_s: float) -> JobError:
    how = "" if error.kind == "address" else " did not answer"
    words = f"{name} at {host_of(endpoint)}{how}: {error}"
    trouble = _SILENCES[error.kind]
    ctx.called(Call(key=name, outcome="failed", took_s=took_s, trouble=trouble, words=words))
    return ServerError(words) if trouble == "faulty" else EndpointUnavailable(words, name)


def told_refusal(ctx: JobContext, reply: Reply, complaint: Complaint, name: str, took_s: float) -> JobError:
    said = meaning_of(status_of(reply, complaint), complaint, reply.headers, time.time())
    error, is_limited = (
        refusal(reply, complaint, said, name, ctx.settings.endpoints[name]),
        said.meaning == "limited",
    )
    tell(
        ctx,
        name,
        reply,
        took_s,
        outcome="refused" if is_limited else "failed",
        closes_for_s=said.wait_s if said.wait_s or not is_limited else RETRY_AFTER_S,
        trouble=TROUBLES.get(said.meaning),
        words=str(error),
    )
    return error


def refusal(reply: Reply, complaint: Complaint, said: Refusal, name: str, endpoint: Endpoint) -> JobError:
    """An answer that is an error as the error that says what to do, in the server's own words."""
    inside = " with an error in it" if reply.status < 300 else ""
    answered, words = f"{name} answered {reply.status}{inside}", complaint.words or "no words"
    match said.meaning:
        case "limited":
            wait_s = said.wait_s or RETRY_AFTER_S
            return RateLimited(f"{name} is rate limited, to come back in {wait_s:g} s: {words}", name, wait_s)
        case "busy":
            until = f" (to come back in {said.wait_s:g} s)" if said.wait_s else ""
            return EndpointUnavailable(f"{answered}{until}: {words}", name, said.wait_s)
        case "faulty":
            return ServerError(f"{answered}: {words}")
        case "filtered":
            return BadInput(f"{name} filtered the request (answer {reply.status}): {words}")
        case "request":
            return BadInput(f"{name} refused the request with {reply.status}: {words}")
        case meaning:
            there = f", it redirects to {elsewhere(reply)}" if 300 <= reply.status < 400 else ""
            remedy = _REMEDIES[meaning].format(model=endpoint.model)
            return EndpointUnavailable(f"{name} {remedy} (answer {reply.status}{there}: {words})", name)


def told_answer(ctx: JobContext, reply: Reply, name: str, took_s: float) -> ChatAnswer:
    """Tokens of an answer that is of no use were used all the same."""
    said = said_of(reply.content)
    if said is None and "html" in reply.headers.get("content-type", "").lower():
        page = complaint_of(reply.content).words
        words = (
            f"{name} sent a web page and no answer: check its base_url, or the proxy before it ({page[:120]})"
        )
        tell(ctx, name, reply, took_s, trouble="refuses", words=words)
        raise EndpointUnavailable(words, name)
    usage = TokenUsage() if said is None else said.usage
    usd = price(usage, ctx.settings.endpoints[name])
    tell(ctx, name, reply, took_s, outcome="ok", tokens=usage.total, usd=usd)
    if said is None:
        raise JobError(
            f"{name} sent something that is no chat completion: {complaint_of(reply.content).words[:120]}"
        )
    return ChatAnswer(
        text=usable(said, name),
        model=said.model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usd=usd,
        budget=budget(reply.headers),
    )


def price(usage: TokenUsage, endpoint: Endpoint) -> float | None:
    """USD; None where no price or no count is known."""
    asked, told = endpoint.usd_per_million_input, endpoint.usd_per_million_output
    if usage.total is None or not (asked or told):
        return None
    return ((usage.prompt_tokens or 0) * asked + (usage.completion_tokens or 0) * told) / 1_000_000


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
