"""An HTTP API that sells video, of OpenAI's form: `POST /videos`, `GET /videos/ID`, `GET /videos/ID/content`.

A video is paid for when it is asked for. Its id is on disk before anything else happens, and goes with an
`Idempotency-Key` that is the same for each attempt: what was paid for is fetched, and not bought again.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from conductor.base.errors import EndpointUnavailable
from workers.engines import kept_request
from workers.engines.comfyui import pause
from workers.engines.kept_request import KeptRequest
from workers.engines.server import EngineServer
from workers.task_api.context import JobContext

POLL_S = 2.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


def render(
    ctx: JobContext, name: str, prompt: str, seconds: float, size: tuple[int, int], into: Path
) -> None:
    """A film of at least that length into the file `into`. Raises as `EngineServer` does; once it is paid
    for, the job stays with this engine."""
    server, kept = EngineServer(ctx, name), kept_request.load(ctx, name) or KeptRequest()
    paid_s, video_id = math.ceil(seconds), kept.id
    is_bought = not video_id
    if is_bought:
        video_id = buy(ctx, server, kept, prompt, paid_s, size)
    try:
        wait(ctx, server, video_id, kept)
        server.fetch(f"/videos/{video_id}/content", into)
    except EndpointUnavailable as e:
        raise EndpointUnavailable(str(e), name, e.retry_after_s, stays_with=name) from None
    if not is_bought:
        # Its price was told by the attempt that bought it, or counted as what had been set aside for that.
        server.done(tokens=0, usd=0.0)


def buy(
    ctx: JobContext, server: EngineServer, kept: KeptRequest, prompt: str, paid_s: int, size: tuple[int, int]
) -> str:
    body: dict[str, Any] = {"prompt": prompt, "seconds": str(paid_s), "size": f"{size[0]}x{size[1]}"}
    if server.endpoint.model:
        body["model"] = server.endpoint.model
    body |= server.endpoint.parameters
    # A disk that is full is found before anything costs.
    kept_request.save(ctx, server.name, KeptRequest(times=kept.times))
    try:
        said = server.post("/videos", body, Idempotency_Key=kept_request.name_of(ctx, kept.times))
    except EndpointUnavailable as e:
        if not server.is_unanswered:
            raise
        # It may be sold: who goes elsewhere now pays for nothing.
        words = f"{e}; it may have sold it all the same: it is asked there again, under the same key"
        raise EndpointUnavailable(words, server.name, e.retry_after_s, stays_with=server.name) from None
    found = said.get("id")
    if not isinstance(found, str) or not _ID.fullmatch(found):
        server.fail("faulty", f"{server.name} took the request and named no id that can be asked for")
    server.done(tokens=paid_s * 1000, usd=server.endpoint.usd_per_second * paid_s)
    kept_request.save(ctx, server.name, KeptRequest(id=found, is_paid=True, times=kept.times))
    return found


def wait(ctx: JobContext, server: EngineServer, video_id: str, kept: KeptRequest) -> None:
    while True:
        said = server.get(f"/videos/{video_id}")
        if said.get("id") != video_id:
            server.fail("faulty", f"{server.name} was asked for {video_id} and told of another video")
        match said.get("status"):
            case "completed":
                return
            case "failed" | "cancelled" | "expired":
                kept_request.save(ctx, server.name, KeptRequest(times=kept.times + 1))
                error = said.get("error")
                words = error.get("message") if isinstance(error, dict) else error
                server.fail(None, f"{server.name} could not make it: {str(words or 'no words')[:300]}")
            case _:
                share = said.get("progress")
                ctx.progress(
                    share / 100 if isinstance(share, int | float) else 0.1, f"{server.name}: at work"
                )
        pause(ctx, POLL_S)
