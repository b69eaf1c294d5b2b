"""What is sent to a route, as far as that route takes it: too much is refused before it is read."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import HTTPException, Request

from conductor.base.text import size

#: The sender is to stop: what it sends on is thrown away.
CLOSE = {"Connection": "close"}


async def sent(request: Request, most_bytes: int) -> bytes:
    """All of it. Raises 413."""
    return b"".join([piece async for piece in pieces(request, most_bytes)])


async def pieces(request: Request, most_bytes: int) -> AsyncGenerator[bytes]:
    """As it comes; by its head it is refused before any of it is read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > most_bytes:
        raise too_much(most_bytes)
    had = 0
    async for piece in request.stream():
        had += len(piece)
        if had > most_bytes:
            raise too_much(most_bytes)
        yield piece


def too_much(most_bytes: int) -> HTTPException:
    return HTTPException(413, f"that is more than is taken here ({size(most_bytes)})", CLOSE)
