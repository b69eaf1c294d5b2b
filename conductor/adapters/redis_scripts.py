"""The atomic steps: one Lua file each in `lua/`, put together with the shared parts it names, run by its hash."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.commands.core import Script

from conductor.adapters.redis_client import translating

FOLDER = Path(__file__).with_name("lua")
USES = "-- uses "


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

    def run(self, name: str, *args: str | bytes | int | float) -> Any:
        """The step's reply, as bytes. Raises `Unreachable` or `Fenced`."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self.client.register_script(source(name))
        with translating(self.client):
            return script(args=args)
