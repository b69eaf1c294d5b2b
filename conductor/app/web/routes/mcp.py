"""The door for models over HTTP (MCP): behind the token, as all that acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from starlette.types import Receive, Scope, Send

from conductor.app.web.rights import Visitor, acts

if TYPE_CHECKING:
    from conductor.app.model_door.door import ModelDoor

router = APIRouter()


@router.post("/mcp", include_in_schema=False)
async def mcp(request: Request, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """One message of the Model Context Protocol (streamable HTTP, without sessions)."""
    door: ModelDoor | None = request.app.state.model_door
    if door is None:
        raise HTTPException(404, "the door for models is closed here: set mcp.over_http in conductor.toml")
    request.state.actor = who.name
    return DoorResponse(door)


class DoorResponse(Response):
    """What the SDK of the protocol answers, as it is."""

    def __init__(self, door: ModelDoor) -> None:
        super().__init__()
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door.handle(scope, receive, send)
