"""Alerts, in memory."""

from __future__ import annotations

from conductor.adapters.memory.store import Store
from conductor.model.alerts import AlertBook


class MemoryAlerts:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._book = AlertBook()
        #: Who speaks, and until when.
        self._speaker: tuple[str, float] = ("", 0.0)
        self._silenced: dict[str, float] = {}

    def speak(self, owner: str, ttl_s: float) -> bool:
        with self._store.lock:
            if self._current not in ("", owner):
                return False
            self._speaker = (owner, self._store.now() + ttl_s)
            return True

    @property
    def _current(self) -> str:
        owner, until = self._speaker
        return owner if until > self._store.now() else ""

    def hush(self, owner: str) -> None:
        with self._store.lock:
            if self._current == owner:
                self._speaker = ("", 0.0)

    def book(self) -> AlertBook:
        with self._store.lock:
            return self._book

    def record(self, owner: str, book: AlertBook) -> bool:
        with self._store.lock:
            if self._current != owner:
                return False
            self._book = book
            return True

    def silence(self, rule: str, for_s: float) -> float:
        with self._store.lock:
            until = self._store.now() + for_s
            self._silenced[rule] = until
            return until

    def silenced(self) -> dict[str, float]:
        with self._store.lock:
            now = self._store.now()
            return {rule: until for rule, until in sorted(self._silenced.items()) if until > now}
