"""Alerts in Redis: the book, the lease of who speaks, and the silences.

conductor:alerts   string  AlertBook JSON
"""

from __future__ import annotations

from typing import cast

import msgspec

from conductor.adapters.redis.attempts import ms
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.alerts import AlertBook

_to_json = msgspec.json.Encoder().encode
_book = msgspec.json.Decoder(AlertBook)


class RedisAlerts:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys

    def speak(self, owner: str, ttl_s: float) -> bool:
        return bool(self._scripts.run("speak", owner, ms(ttl_s)))

    def hush(self, owner: str) -> None:
        self._scripts.run("hush", owner)

    def book(self) -> AlertBook:
        with translating(self._redis):
            text = cast(bytes | None, self._redis.get(self._keys.alerts))
        try:
            return AlertBook() if text is None else _book.decode(text)
        except msgspec.DecodeError:
            return AlertBook()  # of another version: what is wrong is found again

    def record(self, owner: str, book: AlertBook) -> bool:
        return bool(self._scripts.run("record_alerts", owner, _to_json(book)))

    def silence(self, rule: str, for_s: float) -> float:
        return int(self._scripts.run("silence", rule, ms(for_s) if for_s else 0)) / 1000

    def silenced(self) -> dict[str, float]:
        rows: list[bytes] = self._scripts.run("silenced")
        return {rule.decode(): int(until) / 1000 for rule, until in zip(rows[::2], rows[1::2], strict=True)}
