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
    """`lua/NAME.lua` behind the shared files that its first line names."""
    text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    shared = text.partition("\n")[0].removeprefix(USES).split()
    return "\n".join([*((FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in shared), text])


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
