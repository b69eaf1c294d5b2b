"""Who leads: a lease with a fencing number, in Redis. And what the leader expects of its run.

conductor:forecasts   hash  backlog (empty: all) -> Forecast JSON
"""

from __future__ import annotations

from typing import cast

import msgspec

from conductor.adapters.redis.attempts import ms
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import Settled

_to_json = msgspec.json.Encoder().encode
_forecast = msgspec.json.Decoder(Forecast)


class RedisLeadership:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys
        self.is_settled = True

    def lead(self, owner: str, ttl_s: float) -> int | None:
        found: tuple[int, int, int] | None = self._scripts.run("lead", owner, ms(ttl_s), self._scripts.seen)
        if found is None:
            return None
        epoch, self._scripts.seen, is_settled = found
        self.is_settled = bool(is_settled)
        return epoch

    def settle(self, epoch: int, wait_s: float, highest: int) -> Settled | None:
        is_settled, went_back, floor = self._scripts.run("settle", epoch, ms(wait_s), highest)
        return Settled(went_back=went_back, floor=floor) if is_settled else None

    def resign(self, owner: str) -> None:
        self._scripts.run("resign", owner)

    def leader(self) -> tuple[str, int] | None:
        with translating(self._redis):
            text = cast(bytes | None, self._redis.get(self._keys.leader))
        if text is None:
            return None
        epoch, _, owner = text.decode().partition(" ")
        return owner, int(epoch)

    def heard_at(self) -> float | None:
        with translating(self._redis):
            beat = cast(bytes | None, self._redis.get(self._keys.leader_seen))
        return None if beat is None else int(beat) / 1000

    def resigned_at(self) -> float | None:
        with translating(self._redis):
            at = cast(bytes | None, self._redis.get(self._keys.resigned))
        return None if at is None else int(at) / 1000

    def expect(self, forecast: Forecast) -> None:
        with translating(self._redis):
            self._redis.hset(self._keys.forecasts, forecast.backlog, _to_json(forecast).decode())

    def forecasts(self) -> tuple[Forecast, ...]:
        with translating(self._redis):
            found = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.forecasts))
        return tuple(_forecast.decode(text) for _, text in sorted(found.items()))
