"""Who leads, the bell, and the nodes' reports, in memory."""

from __future__ import annotations

from msgspec import structs

from conductor.adapters.memory.store import Store
from conductor.model.forecast import Forecast
from conductor.model.report import NodeReport


class MemoryLeadership:
    def __init__(self, store: Store) -> None:
        self._store = store

    def lead(self, owner: str, ttl_s: float) -> int | None:
        store = self._store
        with store.lock:
            now = store.now()
            current = self.leader()
            if current is None:
                store.epoch = max(store.epoch + 1, round(now * 1000))
            elif current[0] != owner:
                return None
            store.leader = (owner, store.epoch, now + ttl_s)
            return store.epoch

    def resign(self, owner: str) -> None:
        with self._store.lock:
            current = self.leader()
            if current is not None and current[0] == owner:
                self._store.leader = None
                self._store.ring()

    def leader(self) -> tuple[str, int] | None:
        with self._store.lock:
            held = self._store.leader
            return None if held is None or held[2] <= self._store.now() else held[:2]

    def expect(self, forecast: Forecast) -> None:
        with self._store.lock:
            self._store.forecasts[forecast.backlog] = forecast

    def forecasts(self) -> tuple[Forecast, ...]:
        with self._store.lock:
            return tuple(forecast for _, forecast in sorted(self._store.forecasts.items()))


class MemoryBell:
    def __init__(self, store: Store) -> None:
        self._store = store

    def ring(self) -> None:
        with self._store.lock:
            self._store.ring()

    def wait(self, timeout_s: float) -> bool:
        """True when it rang. The patience is the host's, whatever clock the ledger runs on."""
        store = self._store
        with store.lock:
            rang = store.bell.wait_for(lambda: store.has_rung, timeout_s)
            store.has_rung = False
            return rang

    def now(self) -> float:
        return self._store.now()


class MemoryReports:
    def __init__(self, store: Store) -> None:
        self._store = store

    def publish(self, report: NodeReport, ttl_s: float) -> None:
        store = self._store
        with store.lock:
            now = store.now()
            store.reports[report.node] = (structs.replace(report, sent_at=now), now + ttl_s)
            store.ring()

    def live(self) -> tuple[NodeReport, ...]:
        store = self._store
        with store.lock:
            return tuple(report for _, (report, until) in sorted(store.reports.items()) if until > store.now())

    def withdraw(self, node: str) -> None:
        with self._store.lock:
            self._store.reports.pop(node, None)
            self._store.ring()
