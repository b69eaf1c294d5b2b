"""What came of calls of APIs, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.adapters.memory import endpoint_breakers as endpoint_faults
from conductor.adapters.memory.store import Store
from conductor.model.calls import Call, EndpointFault


class MemoryCallLog:
    def __init__(self, store: Store) -> None:
        self._store = store

    def tell_calls(self, calls: Sequence[Call]) -> None:
        with self._store.lock:
            for call in calls:
                endpoint_faults.told(self._store, call)
            self._store.ring()

    def calls(self) -> tuple[Call, ...]:
        with self._store.lock:
            return tuple(self._store.calls)

    def forget_calls(self, count: int) -> None:
        with self._store.lock:
            del self._store.calls[:count]

    def closings(self) -> dict[str, float]:
        with self._store.lock:
            return {key: until for key, until in self._store.closed.items() if until > self._store.now()}

    def endpoint_faults(self) -> dict[str, EndpointFault]:
        with self._store.lock:
            return dict(self._store.endpoint_faults)

    def open_rate(self, key: str) -> bool:
        with self._store.lock:
            return endpoint_faults.opened(self._store, key)

    def refusals(self) -> dict[str, int]:
        with self._store.lock:
            return dict(self._store.refusals)
