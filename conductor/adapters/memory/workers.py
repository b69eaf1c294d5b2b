"""Who works, in memory. A worker of the twin is one that renewed: nothing else is said of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

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


class MemoryDoorbell:
    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def listening(self, node: str) -> Generator[Callable[[float], bool]]:
        store = self._store
        heard = store.handed_over[node]

        def wait(timeout_s: float) -> bool:
            nonlocal heard
            with store.lock:
                rang = store.bell.wait_for(lambda: store.handed_over[node] != heard, timeout_s)
                heard = store.handed_over[node]
                return rang

        yield wait
