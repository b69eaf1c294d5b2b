"""Node reports in Redis, each with a time to live, stamped with Redis's time."""

from __future__ import annotations

from operator import attrgetter
from typing import cast

import msgspec

from conductor.adapters.redis.attempts import ms
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.codec.row_cache import KnownRows
from conductor.adapters.redis.scripts import Scripts
from conductor.model.report import NodeReport

_to_json = msgspec.json.Encoder().encode
_report = msgspec.json.Decoder(NodeReport)


class RedisReports:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys
        self._known = KnownRows(_report.decode)

    def publish(self, report: NodeReport, ttl_s: float) -> None:
        # Without `sent_at`: the script sets it. (A 0.0 is not left out: msgspec knows a default by identity.)
        fields: dict[str, object] = msgspec.to_builtins(report)
        fields.pop("sent_at", None)
        text = _to_json(fields)
        self._scripts.run("publish", report.node, text, ms(ttl_s))

    def live(self) -> tuple[NodeReport, ...]:
        return tuple(sorted(self._known.read(self._scripts.run("live")), key=attrgetter("node")))

    def withdraw(self, node: str) -> None:
        self._scripts.run("withdraw", node)

    def left(self) -> dict[str, float]:
        with translating(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.left))
        return {node.decode(): int(at) / 1000 for node, at in rows.items()}
