"""The stream of events, in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice

import msgspec

from conductor.adapters.memory.store import Store
from conductor.model.told_event import ToldEvent, order_of

MOST_EVENTS = 50_000
NOTHING = "0-0"


class MemoryEventStream:
    def __init__(self, store: Store, most: int = MOST_EVENTS) -> None:
        self._store = store
        self._kept: deque[ToldEvent] = deque(maxlen=most)
        self._came = threading.Condition()
        self._last = (0, 0)

    def append(self, events: Sequence[ToldEvent]) -> None:
        with self._came:
            for event in events:
                ms = int(self._store.now() * 1000)
                self._last = (ms, 0) if ms > self._last[0] else (self._last[0], self._last[1] + 1)
                ready = msgspec.structs.replace(event, id=f"{self._last[0]}-{self._last[1]}")
                self._kept.append(ready)
            self._came.notify_all()

    def read(self, after: str, limit: int = 1000, wait_s: float = 0.0) -> tuple[ToldEvent, ...]:
        since = order_of(after or NOTHING)
        with self._came:
            if wait_s > 0:
                self._came.wait_for(lambda: self._last > since, wait_s)
            later = (event for event in self._kept if order_of(event.id) > since)
            return tuple(islice(later, limit))

    def latest(self, limit: int) -> tuple[ToldEvent, ...]:
        with self._came:
            return tuple(self._kept)[max(0, len(self._kept) - limit) :]

    def bounds(self) -> tuple[str, str]:
        with self._came:
            return (self._kept[0].id, self._kept[-1].id) if self._kept else (NOTHING, NOTHING)
