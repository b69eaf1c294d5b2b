"""Who leads: a lease with a fencing number, in Redis."""

from __future__ import annotations

from typing import cast

from conductor.adapters import redis_keys as keys
from conductor.adapters.redis_attempts import ms
from conductor.adapters.redis_client import translating
from conductor.adapters.redis_scripts import Scripts


class RedisLeadership:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis = scripts.client

    def lead(self, owner: str, ttl_s: float) -> int | None:
        return self._scripts.run("lead", owner, ms(ttl_s))

    def resign(self, owner: str) -> None:
        self._scripts.run("resign", owner)

    def leader(self) -> tuple[str, int] | None:
        with translating(self._redis):
            text = cast(bytes | None, self._redis.get(keys.LEADER))
        if text is None:
            return None
        epoch, _, owner = text.decode().partition(" ")
        return owner, int(epoch)
