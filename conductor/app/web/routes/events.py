"""What happens, as it happens: server-sent events, of all jobs or of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from conductor.app.web.event_hub import EventHub, EventListener
from conductor.app.web.rights import looks

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`id`: of the stream; `data`: a ToldEvent; the event `reset`: read everything anew",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

router = APIRouter()


@router.get("/api/v1/events", dependencies=[Depends(looks)], responses=STREAM)
async def events(
    request: Request,
    last_event_id: Annotated[str, Header()] = "",
    after: Annotated[str, Query(description="The same as the header Last-Event-ID")] = "",
) -> Response:
    """All of them from now on, or from the one after `Last-Event-ID`."""
    return watching(request, "", last_event_id or after)


@router.get("/api/v1/jobs/{job_id}/events", dependencies=[Depends(looks)], responses=STREAM)
async def events_of_job(
    request: Request,
    job_id: str,
    last_event_id: Annotated[str, Header()] = "",
    after: Annotated[str, Query(description="The same as the header Last-Event-ID")] = "",
) -> Response:
    """Those that name this job."""
    return watching(request, job_id, last_event_id or after)


def watching(request: Request, job_id: str, after: str) -> Response:
    hub: EventHub = request.app.state.hub
    watcher = EventListener(job_id, request.scope["state"]["abort"])
    if not hub.enter(watcher):
        raise HTTPException(
            503, "as many watch as may: ask again, or ask for /api/v1/now", {"Retry-After": "5"}
        )
    return EventsResponse(hub, watcher, after)


class EventsResponse(StreamingResponse):
    """The watcher leaves with the connection, however that ends."""

    def __init__(self, hub: EventHub, watcher: EventListener, after: str) -> None:
        super().__init__(hub.watch(after, watcher), media_type="text/event-stream")
        self._hub, self._watcher = hub, watcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._watcher)
