"""The log of one job as it is printed: server-sent events, bounded in number, in time and in what waits for a
slow reader.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from conductor.app.web.event_hub import KEEP_ALIVE_S
from conductor.app.web.stack import Stack
from conductor.base.errors import ConductorError
from conductor.base.logs.two_streams import Stream
from conductor.base.text import escaped
from conductor.model.spec import Value
from conductor.views.as_json import json_text
from conductor.views.job_log import LogFollower

#: So many follow at once; the next one is told to come again.
MOST_FOLLOWERS = 32
#: Then the follower is told `again`, and asks anew if it still wants.
FOLLOW_S = 3600.0
LOOK_EVERY_S = 0.5
#: A reader that takes nothing for so long is let go.
PATIENCE_S = 30.0
MOST_CHARS = 4000
ENDED = frozenset({"done", "dead", "cancelled", "review"})


class ToldLine(Value, frozen=True, kw_only=True):
    """One line that a body printed; a long one is cut. `stream`: «stdout» where it is not said."""

    attempt: int
    line: str
    stream: Stream = "stdout"


class LogEnd(Value, frozen=True, kw_only=True):
    """`state`: the job's, by then. `why`: why no more comes, where the job is not over."""

    state: str = ""
    why: str = ""


class LogStream(StreamingResponse):
    """`job_id`: whole. Raises 503 where as many follow as may."""

    def __init__(self, request: Request, stack: Stack, job_id: str) -> None:
        self._followers: set[LogStream] = request.app.state.followers
        if len(self._followers) >= MOST_FOLLOWERS:
            raise HTTPException(503, "as many follow a log as may: ask again", {"Retry-After": "5"})
        self._followers.add(self)
        super().__init__(lines(stack, job_id), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), PATIENCE_S)
            except TimeoutError:
                scope["state"]["abort"]()

        try:
            await super().__call__(scope, receive, patiently)
        finally:
            self._followers.discard(self)


async def lines(stack: Stack, job_id: str) -> AsyncGenerator[str]:
    """Until the job has ended and all is told; then the event `end`, or `again` where it lasts too long."""
    follower, began = LogFollower(stack.code.logs_dir, job_id), time.monotonic()
    told_at = began
    yield "retry: 2000\n\n"
    while True:
        try:
            # The state first: what the body printed before it ended is read behind it.
            state = await stack.ask(lambda: state_of(stack, job_id))
            news = await stack.ask_files(lambda: list(follower.news()))
        except ConductorError as e:
            yield event("again", LogEnd(why=str(e)))
            return
        now = time.monotonic()
        if news:
            yield "".join(
                event("", ToldLine(attempt=n, line=line[:MOST_CHARS], stream=stream))
                for n, stream, line in news
            )
            told_at = now
        elif now - told_at > KEEP_ALIVE_S:
            yield ": still here\n\n"
            told_at = now
        if state in ENDED:
            yield event("end", LogEnd(state=state))
            return
        if now > began + FOLLOW_S:
            yield event("again", LogEnd(state=state, why=f"this was followed for {FOLLOW_S / 3600:g} h"))
            return
        await asyncio.sleep(LOOK_EVERY_S)


def state_of(stack: Stack, job_id: str) -> str:
    return stack.ledger.jobs.states([job_id]).get(job_id, "cancelled")


def event(name: str, value: ToldLine | LogEnd) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {escaped(json_text(value))}\n\n"
