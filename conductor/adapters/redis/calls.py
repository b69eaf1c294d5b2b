"""What came of calls of APIs, in Redis, until the leader has taken it into account."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.calls import Call, EndpointFault

_endpoint_fault = msgspec.json.Decoder(EndpointFault)
_call_to_json = msgspec.json.Encoder().encode
_call = msgspec.json.Decoder(Call)

#: What a leader takes into account in one look; the rest has its turn in the next.
CALLS_AT_ONCE = 5_000


class RedisCallLog:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    @property
    def scripts(self) -> Scripts:
        return self._scripts

    def tell_calls(self, calls: Sequence[Call]) -> None:
        if calls:
            self._scripts.run("tell_calls", *map(_call_to_json, calls))

    def calls(self) -> tuple[Call, ...]:
        return tuple(map(_call.decode, self._scripts.run("calls", CALLS_AT_ONCE)))

    def forget_calls(self, count: int) -> None:
        with translating(self._scripts.client):
            self._scripts.client.ltrim(self._scripts.keys.reported_calls, count, -1)

    def closings(self) -> dict[str, float]:
        flat: list[bytes] = self._scripts.run("closings")
        return {key.decode(): float(until) / 1000 for key, until in zip(flat[0::2], flat[1::2], strict=True)}

    def endpoint_faults(self) -> dict[str, EndpointFault]:
        flat: list[bytes] = self._scripts.run("endpoint_fault_states")
        return {
            key.decode(): _endpoint_fault.decode(text)
            for key, text in zip(flat[0::2], flat[1::2], strict=True)
        }

    def open_rate(self, key: str) -> bool:
        return bool(self._scripts.run("open_rate", key))

    def refusals(self) -> dict[str, int]:
        with translating(self._scripts.client):
            flat: dict[bytes, bytes] = self._scripts.client.hgetall(self._scripts.keys.rate_limited)  # pyright: ignore[reportAssignmentType]
        return {key.decode(): int(count) for key, count in flat.items()}
