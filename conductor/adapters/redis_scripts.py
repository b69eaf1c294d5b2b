"""The atomic steps: one Lua file each in `lua/`, put together with the shared parts it names, run by its hash."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.commands.core import Script

from conductor.adapters.redis_client import translating

FOLDER = Path(__file__).with_name("lua")
USES = "-- uses "
#: What was asked ahead is as good as asked now for so long.
AHEAD_S = 0.05
_NOT_ASKED = object()

#: A step's name and its arguments.
Call = tuple[str, tuple[str | bytes | int | float, ...]]


@cache
def source(name: str) -> str:
    """`lua/NAME.lua` behind the shared files that its first line names, and those that theirs name: each once."""
    parts: dict[str, str] = {}
    _gather(name, parts)
    return "\n".join(parts.values())


def _gather(name: str, parts: dict[str, str]) -> None:
    text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    for part in first.removeprefix(USES).split() if first.startswith(USES) else ():
        if part not in parts:
            _gather(part, parts)
    parts[name] = text


class Scripts:
    """Runs the steps on one client. A server that lost its script cache is given the source again."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._scripts: dict[str, Script] = {}
        self._ahead: dict[Call, Any] = {}
        self._ahead_of = 0
        self._ahead_until = 0.0

    def run(self, name: str, *args: str | bytes | int | float) -> Any:
        """The step's reply, as bytes. Raises `Unreachable` or `Fenced`."""
        if self._ahead and threading.get_ident() == self._ahead_of and time.monotonic() < self._ahead_until:
            reply = self._ahead.pop((name, args), _NOT_ASKED)
            if reply is not _NOT_ASKED:
                return reply
        with translating(self.client):
            return self._script(name)(args=args)

    def ask_ahead(self, calls: Sequence[Call]) -> None:
        """Several steps that only read, in one round trip and in this order. The next `run` of each by this thread,
        with these very arguments and at once, has its answer from here; it is not asked again."""
        self._ahead = {}
        with translating(self.client), self.client.pipeline(transaction=False) as pipe:
            for name, args in calls:
                pipe.evalsha(self._script(name).sha, 0, *args)  # pyright: ignore[reportArgumentType]
            replies: list[Any] = pipe.execute(raise_on_error=False)
        # A script that the server has lost, or any other error, is met by the step itself.
        answered = zip(calls, replies, strict=True)
        self._ahead = {call: reply for call, reply in answered if not isinstance(reply, Exception)}
        self._ahead_of, self._ahead_until = threading.get_ident(), time.monotonic() + AHEAD_S

    def _script(self, name: str) -> Script:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self.client.register_script(source(name))
        return script
