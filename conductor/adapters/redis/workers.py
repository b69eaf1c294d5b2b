"""Who works: the workers' own words in Redis, and the roll call.

conductor:heard:WORKER   string   when it last renewed what it holds (ms); runs out (`lua/renew.lua`)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from conductor.adapters.redis.attempts import ms
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.snapshot import Reservation
from conductor.model.worker import SeenWorker

#: One step keeps the server for a millisecond at most.
AT_ONCE = 500

_pack = msgspec.msgpack.Encoder().encode


class RedisWorkers:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def seen(self) -> tuple[SeenWorker, ...]:
        # One whose heartbeat has run out is gone; whoever is its parent strikes it off.
        return tuple(_seen(*row) for row in self._rows() if row[1] and b"death" not in row[1])

    def listed(self) -> tuple[SeenWorker, ...]:
        return tuple(_seen(*row) for row in self._rows())

    def _rows(self) -> list[tuple[str, dict[bytes, bytes], bytes | None]]:
        client, keys = self._scripts.client, self._scripts.keys
        with translating(client):
            members: Any = client.smembers(keys.workers)
            names = sorted(member.decode() for member in members)
            with client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.rq_worker(name))
                    pipe.get(keys.heard(name))
                said: list[Any] = pipe.execute()
        return [*zip(names, said[0::2], said[1::2], strict=True)]

    def call_roll(self, names: Sequence[str]) -> None:
        for name in names:
            self._scripts.run("call_roll", name)

    def expect(self, running: Sequence[Reservation], wait_s: float) -> None:
        rows = [(held.worker, held.job_id, held.attempt) for held in running]
        for first in range(0, len(rows), AT_ONCE):
            self._scripts.run("expect", _pack((ms(wait_s), rows[first : first + AT_ONCE])))


def _seen(name: str, fields: dict[bytes, bytes], heard: bytes | None) -> SeenWorker:
    said = {key.decode(): value.decode("utf-8", "replace") for key, value in fields.items()}
    pid = said.get("pid", "")
    return SeenWorker(
        name=name,
        queue=said.get("queues", ""),
        host=said.get("hostname", ""),
        pid=int(pid) if pid.isdecimal() else 0,
        process=said.get("process", ""),
        since=_moment(said.get("birth", "")),
        heard_at=None if heard is None else int(heard) / 1000,
    )


def _moment(text: str) -> float | None:
    """RQ's way of writing it: UTC, with a Z."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
