"""Canaries and breakers in Redis: what is known of every kind, and what is done to a kind as a whole."""

from __future__ import annotations

from collections import Counter
from typing import cast

import msgspec

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.reviews import is_shown
from conductor.adapters.redis.scans.ended import rows_by_state
from conductor.adapters.redis.scripts import Scripts
from conductor.core.failures.failure_counts import KindRecord, state_of
from conductor.model.snapshot import JobClass, KindState
from conductor.ports import Breakers

_unpack = msgspec.msgpack.Decoder().decode
_record = msgspec.json.Decoder(KindRecord).decode
_class_from_json = msgspec.json.Decoder(JobClass).decode


class RedisKinds(Breakers):
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys

    def states(self) -> tuple[tuple[KindState, ...], dict[str, int]]:
        rows, review = _unpack(self._scripts.run("breaker_states"))
        records = [(field, _record(text)) for field, text in zip(rows[0::2], rows[1::2], strict=True)]
        found = [state_of(field, record) for field, record in records if record.is_news]
        lie = {backlog: n for backlog, n in zip(review[0::2], review[1::2], strict=True) if n}
        return tuple(sorted(found, key=lambda s: (s.kind, s.version))), lie

    def review(self, epoch: int, kind: str, most: int) -> int:
        return self._scripts.run("review", epoch, kind, most)

    def resume(self, kind: str) -> int:
        return self._scripts.run("resume_kind", kind)

    def in_review(self, backlog: str | None = None) -> dict[str, int]:
        with translating(self._redis), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._keys.classes)
            pipe.hgetall(self._keys.class_backlog)
            classes, backlogs = cast(list[dict[bytes, bytes]], pipe.execute())
        found: Counter[str] = Counter()
        for number, n in self._by_class().items():
            if backlog in (None, backlogs[number].decode()):
                found[_class_from_json(classes[number]).kind] += n
        return dict(found)

    def _by_class(self) -> Counter[bytes]:
        """Class number → jobs set aside. Goes through all in review: for an account, not for a tick."""
        rows = (text.split("|") for _, text in rows_by_state(self._scripts, "review"))
        return Counter(row[3].encode() for row in rows if not is_shown(row))
