"""Who works, in memory. A worker of the twin is one that renewed: nothing else is said of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from conductor.adapters.memory.store import Store
from conductor.core.failures.history import is_unheard
from conductor.model.ledger_entries import RollCall
from conductor.model.snapshot import Reservation
from conductor.model.worker import SeenWorker


class MemoryWorkers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def seen(self) -> tuple[SeenWorker, ...]:
        with self._store.lock:
            return tuple(SeenWorker(name=name, heard_at=at) for name, at in sorted(self._store.heard.items()))

    def listed(self) -> tuple[SeenWorker, ...]:
        with self._store.lock:
            names = {*self._store.heard, *self._store.history.workers}
            return tuple(
                SeenWorker(name=name, heard_at=self._store.heard.get(name)) for name in sorted(names)
            )

    def call_roll(self, names: Sequence[str]) -> None:
        with self._store.lock:
            for name in names:
                self._store.successor_feeds[name].append(RollCall())
            self._store.ring()

    def expect(self, running: Sequence[Reservation], wait_s: float) -> None:
        store = self._store
        with store.lock:
            for held in () if store.is_settled else running:
                job = store.jobs.get(held.job_id)
                is_forgotten = job is None or is_unheard(job.state, job.attempts, held.attempt)
                if is_forgotten and held.worker and held.worker not in store.history.reported_workers:
                    store.history.workers.add(held.worker)
                    store.successor_feeds[held.worker].append(RollCall())
            store.ring()


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
