"""The atomic steps: one Lua file each in `lua/`, put together with the shared parts it names, run by its
hash.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis, exceptions
from redis.commands.core import Script

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.step_text import named, source, together
from conductor.base.redis_keys import PLAIN, Keys

#: What was asked ahead is as good as asked now for so long.
AHEAD_S = 0.05
_NOT_ASKED = object()

#: A step's name and its arguments.
Call = tuple[str, tuple[str | bytes | int | float, ...]]


class Scripts:
    """Runs the steps on one client. A server that lost its script cache is given the source again."""

    def __init__(self, client: Redis, keys: Keys = PLAIN) -> None:
        self.client = client
        self.keys = keys
        #: The step (`adapters/redis/lua/history.lua`) that this leader was told last.
        self.seen = 0
        self._scripts: dict[str, Script] = {}
        self._ahead: dict[Call, Any] = {}
        self._ahead_of = 0
        self._ahead_until = 0.0
        self._when_rung: tuple[Call, ...] = ()
        #: What other readers of a tick add to that: `heads_asked` → the step and its arguments.
        self.also_ahead: list[Callable[[bytes], Call]] = []

    def run(self, name: str, *args: str | bytes | int | float) -> Any:
        """The step's reply, as bytes. Raises `Unreachable` or `Fenced`."""
        reply = self._asked((name, args))
        if reply is not _NOT_ASKED:
            return reply
        with translating(self.client):
            return self._script(name)(args=args)

    def run_as(self, ahead: Call | None, name: str, *args: str | bytes | int | float) -> Any:
        """`run`, or what was asked ahead as `ahead` and comes to the same."""
        reply = _NOT_ASKED if ahead is None else self._asked(ahead)
        return self.run(name, *args) if reply is _NOT_ASKED else reply

    def _asked(self, call: Call) -> Any:
        if self._ahead and self._is_fresh():
            return self._ahead.pop(call, _NOT_ASKED)
        return _NOT_ASKED

    def ask_ahead(self, calls: Sequence[Call]) -> None:
        """Several steps that only look, in one script and in this order: as of one instant. The next `run` of
        each by this thread, with these very arguments and at once, has its answer from here; it is not asked
        again."""
        when_rung, self._when_rung = self._when_rung, ()
        if when_rung == tuple(calls) and self._is_fresh():
            return
        self._ahead = {}
        try:
            with translating(self.client):
                self._know(calls, self._together(calls)(args=_counted(calls)))
        except exceptions.ResponseError:
            return  # Met by the step whose error it is.

    def ask_when_rung(self, bell: str, timeout_s: float, calls: Sequence[Call]) -> bool:
        """Waits for an entry of the list `bell`: True when there was one. The server answers `calls` at once
        then, so that nobody has to wake up first to ask: the next `ask_ahead` of the same finds them
        answered."""
        self._ahead, self._when_rung = {}, ()
        sha = self._together(calls).sha
        with translating(self.client), self.client.pipeline(transaction=False) as pipe:
            pipe.blpop([bell], timeout=timeout_s)  # pyright: ignore[reportArgumentType]
            pipe.evalsha(sha, 0, *_counted(calls))  # pyright: ignore[reportArgumentType]
            rang, replies = pipe.execute(raise_on_error=False)
        if isinstance(rang, Exception):
            with translating(self.client):
                raise rang
        # Not known to the server yet: asked once more, with its source.
        if not isinstance(replies, Exception):
            self._know(calls, replies)
            self._when_rung = tuple(calls)
        return rang is not None

    def run_behind(
        self, command: Sequence[str | float], name: str, *args: str | bytes | int | float
    ) -> tuple[Any, Any]:
        """A command that may block, and the step behind it in one write: both replies. None for that of a
        step that was refused, or that the server did not know yet: it did nothing, and is to be run for
        itself.

        Only of a client with one connection (`single_connection_client`)."""
        connection = self.client.connection
        assert connection is not None, "the replies of a pool's connections cannot be told apart"
        step = ("EVALSHA", self._script(name).sha, 0, *args)
        with translating(self.client):
            connection.send_packed_command(connection.pack_commands([tuple(command), step]))
            replies = [_reply(connection), _reply(connection)]
            if isinstance(replies[0], Exception):
                raise replies[0]
        return replies[0], None if isinstance(replies[1], Exception) else replies[1]

    def _know(self, calls: Sequence[Call], replies: Sequence[Any]) -> None:
        self._ahead = dict(zip(calls, replies, strict=True))
        self._ahead_of, self._ahead_until = threading.get_ident(), time.monotonic() + AHEAD_S

    def _is_fresh(self) -> bool:
        return threading.get_ident() == self._ahead_of and time.monotonic() < self._ahead_until

    def _together(self, calls: Sequence[Call]) -> Script:
        names = tuple(name for name, _ in calls)
        known = "+".join(names)
        if known not in self._scripts:
            self._scripts[known] = self.client.register_script(named(self.keys) + together(names))
        return self._scripts[known]

    def _script(self, name: str) -> Script:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self.client.register_script(named(self.keys) + source(name))
        return script


def _counted(calls: Sequence[Call]) -> list[str | bytes | int | float]:
    return [value for _, args in calls for value in (len(args), *args)]


def _reply(connection: Any) -> Any:
    """The server's words, a refusal too. Raises when it could not be heard."""
    try:
        return connection.read_response()
    except exceptions.ResponseError as e:
        return e
