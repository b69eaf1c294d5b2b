"""What was asked of an engine and is not fetched yet: kept across attempts, so that it is not asked twice."""

from __future__ import annotations

import uuid

import msgspec

from conductor.model.spec import Value
from workers.task_api.context import JobContext

#: Of names that are worked out.
_SPACE = uuid.UUID("5a2d1f0e-7f43-4a6e-9d53-6f0c0a3b1e77")


class KeptRequest(Value, frozen=True, kw_only=True):
    """`id` is the server's name for it; empty: it was about to be sent."""

    id: str = ""
    #: It costs money.
    is_paid: bool = False
    #: So often it was asked for anew: what came was of no use.
    times: int = 0


def name_of(ctx: JobContext, times: int) -> str:
    """The same for each attempt of the job, on any host: a server that takes names sees one request."""
    return str(uuid.uuid5(_SPACE, f"{ctx.job_id}/{times}"))


def load(ctx: JobContext, engine: str) -> KeptRequest | None:
    content = ctx.checkpoint().load(f"{engine}.json")
    return msgspec.json.decode(content, type=KeptRequest) if content else None


def save(ctx: JobContext, engine: str, request: KeptRequest) -> None:
    """On disk when it returns. Raises `OSError` where the disk is full: before anything is sent."""
    ctx.checkpoint().save(msgspec.json.encode(request), f"{engine}.json")


def paid_elsewhere(ctx: JobContext, engines: tuple[str, ...], engine: str) -> str:
    """The other engine at which something of this job is paid for and under way; empty: none."""
    for other in engines:
        if other != engine and (kept := load(ctx, other)) is not None and kept.is_paid and kept.id:
            return other
    return ""
