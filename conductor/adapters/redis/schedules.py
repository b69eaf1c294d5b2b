"""Where the schedules stand, in Redis: one JSON each in the hash `conductor:schedules`."""

from __future__ import annotations

from typing import cast

import msgspec

from conductor.adapters.redis.attempts import ms
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.schedule import FireEnd, ScheduleState

_to_json = msgspec.json.Encoder().encode
#: Lua has one kind of numbers: what comes back may have a decimal point.
_state = msgspec.json.Decoder(ScheduleState, strict=False)


class RedisSchedules:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys

    def states(self) -> dict[str, ScheduleState]:
        with translating(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.schedules))
        return {name.decode(): _state.decode(text) for name, text in sorted(rows.items())}

    def know(self, name: str, handled_to: int, *, is_paused: bool | None = None) -> None:
        self._scripts.run("know_schedule", name, handled_to, "" if is_paused is None else int(is_paused))

    def take(
        self, name: str, instant: int, owner: str, lease_s: float, epoch: int | None = None
    ) -> ScheduleState | None:
        words = (name, instant, owner, ms(lease_s), "" if epoch is None else epoch)
        text: bytes | None = self._scripts.run("take_fire", *words)
        return None if text is None else _state.decode(text)

    def keep(self, name: str, instant: int, owner: str, lease_s: float) -> bool:
        return bool(self._scripts.run("keep_fire", name, instant, owner, ms(lease_s)))

    def end(self, name: str, owner: str, end: FireEnd) -> bool:
        return bool(self._scripts.run("end_fire", name, owner, _to_json(end)))

    def skip(self, epoch: int, name: str, handled_to: int, fires: int) -> bool:
        return bool(self._scripts.run("skip_fires", epoch, name, handled_to, fires))

    def hold(self, epoch: int, name: str) -> bool:
        return bool(self._scripts.run("hold_fire", epoch, name))
