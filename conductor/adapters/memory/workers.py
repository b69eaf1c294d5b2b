"""Who works, in memory. A worker of the twin is one that renewed: nothing else is said of it."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.adapters.memory.store import Store
from conductor.model.ledger_entries import RollCall
from conductor.model.worker import SeenWorker


class MemoryWorkers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def seen(self) -> tuple[SeenWorker, ...]:
        with self._store.lock:
            return tuple(SeenWorker(name=name, heard_at=at) for name, at in sorted(self._store.heard.items()))

    def call_roll(self, names: Sequence[str]) -> None:
        with self._store.lock:
            for name in names:
                self._store.successor_feeds[name].append(RollCall())
            self._store.ring()
