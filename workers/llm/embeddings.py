"""One embeddings request of a job to an OpenAI-shaped server: asked, told what it came to, and its vectors
held against what was asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from conductor.base.errors import EndpointUnavailable, JobError
from conductor.model.calls import Call
from workers.llm.answers import TokenUsage, usage_of
from workers.llm.chat import complaint_in, endpoint_of, price, tell, told_refusal, told_silence
from workers.llm.connection import NoReply, Reply, post
from workers.llm.keys import BadKey, key_of
from workers.task_api.context import JobContext

if TYPE_CHECKING:
    from conductor.base.settings.endpoint_settings import Endpoint


def embed(ctx: JobContext, name: str, texts: Sequence[str]) -> list[list[float]]:
    """A vector for each text, all of one length. One request, never repeated here.

    Raises `RateLimited`, `EndpointUnavailable`, `ServerError`, `BadInput` (this request can never pass),
    `JobError` (no usable answer).
    """
    endpoint = endpoint_of(ctx, name)
    try:
        key = key_of(endpoint, name)
    except BadKey as e:
        ctx.called(Call(key=name, outcome="uncalled", trouble="refuses", words=str(e)))
        raise EndpointUnavailable(str(e), name) from None
    body, began = body_of(endpoint, texts), time.monotonic()
    try:
        reply = post(endpoint, key, body, ctx.remaining_s(), kind="embeddings")
    except NoReply as e:
        raise told_silence(ctx, e, name, endpoint, time.monotonic() - began) from None
    if (complaint := complaint_in(reply)) is not None:
        raise told_refusal(ctx, reply, complaint, name, time.monotonic() - began)
    usage = TokenUsage(prompt_tokens=usage_in(reply).prompt_tokens)
    took_s, usd = time.monotonic() - began, price(usage, endpoint)
    tell(ctx, name, reply, took_s, outcome="ok", tokens=usage.total, usd=usd)
    return vectors_in(reply.content, len(texts), name)


def body_of(endpoint: Endpoint, texts: Sequence[str]) -> dict[str, Any]:
    return {"model": endpoint.model, "input": list(texts), **endpoint.parameters}


def usage_in(reply: Reply) -> TokenUsage:
    try:
        whole = msgspec.json.decode(reply.content)
    except (msgspec.DecodeError, RecursionError):
        return TokenUsage()
    return usage_of(cast("dict[str, Any]", whole).get("usage")) if isinstance(whole, dict) else TokenUsage()


class _Row(msgspec.Struct, frozen=True):
    embedding: list[float]
    index: int | None = None


class _Rows(msgspec.Struct, frozen=True):
    data: list[_Row]


def vectors_in(content: bytes, count: int, name: str) -> list[list[float]]:
    """In the order of the texts. Raises `JobError`, which says what is wrong with them."""
    try:
        rows = msgspec.json.decode(content, type=_Rows).data
    except (msgspec.DecodeError, RecursionError) as e:
        raise JobError(f"{name} sent something that is no list of embeddings: {e}") from None
    if len(rows) != count:
        raise JobError(f"{name} sent {len(rows)} vectors for {count} texts")
    places = [n if row.index is None else row.index for n, row in enumerate(rows)]
    if sorted(places) != list(range(count)):
        raise JobError(f"{name} numbered its vectors {places[:5]}…: of {count} texts each has one")
    found = [row.embedding for _, row in sorted(zip(places, rows, strict=True), key=lambda each: each[0])]
    lengths = sorted({len(vector) for vector in found})
    if len(lengths) != 1 or not lengths[0]:
        raise JobError(f"{name} sent vectors of different lengths: {lengths[:5]}")
    if not all(math.isfinite(value) for vector in found for value in vector):
        raise JobError(f"{name} sent a vector with a value that is no number")
    return found
