"""Who leads, the bell, and the nodes' reports, in memory."""

from __future__ import annotations

from msgspec import structs

from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob
from conductor.base.errors import Fenced
from conductor.core.failures.history import next_generation_number
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import RollCall, Settled
from conductor.model.report import NodeReport


class MemoryLeadership:
    def __init__(self, store: Store) -> None:
        self._store = store

    def lead(self, owner: str, ttl_s: float) -> int | None:
        store = self._store
        with store.lock:
            now = store.now()
            current = self.leader()
            if current is not None and current[0] != owner:
                return None
            history = store.history
            begins = not store.is_settled and (
                history.settling is None or history.settling[0] != history.server
            )
            if current is None or begins:
                store.epoch = max(store.epoch + 1, round(now * 1000))
            if begins:
                history.begin(now)
                store.successors = {}
                for worker in sorted(history.silent):
                    store.successor_feeds[worker].append(RollCall())
            store.leader, history.leader_seen = (owner, store.epoch, now + ttl_s), now
            return store.epoch

    @property
    def is_settled(self) -> bool:
        with self._store.lock:
            return self._store.is_settled

    def settle(self, epoch: int, wait_s: float, highest: int) -> Settled | None:
        store = self._store
        with store.lock:
            if epoch != store.epoch:
                raise Fenced("this conductor no longer leads")
            if store.is_settled:
                return Settled(went_back=0, floor=0)
            history = store.history
            since = history.settling[2] if history.settling else store.now()
            if history.silent and store.now() < since + wait_s:
                return None
            is_back = bool(history.back or history.silent)
            went_back = sum(self._goes_back(job, is_back) for job in list(store.active.values()))
            floor = next_generation_number(max(history.highest, history.floor, highest)) if is_back else 0
            history.workers -= history.silent
            history.end(floor)
            store.ring()
            return Settled(went_back=went_back, floor=floor)

    def _goes_back(self, job: StoredJob, is_back: bool) -> bool:
        """At no cost: nobody runs it, or it may have been started in what was forgotten."""
        store, held = self._store, job.reservation
        if held is None:
            return False
        if held.state == "running":
            is_back = (
                held.worker in store.history.reported_workers
                and job.id not in store.history.reported_attempts
            )
        if not is_back:
            return False
        store.go_back(job)
        return True

    def resign(self, owner: str) -> None:
        with self._store.lock:
            current = self.leader()
            if current is not None and current[0] == owner:
                self._store.leader, self._store.resigned_at = None, self._store.now()
                self._store.ring()

    def leader(self) -> tuple[str, int] | None:
        with self._store.lock:
            held = self._store.leader
            return None if held is None or held[2] <= self._store.now() else held[:2]

    def heard_at(self) -> float | None:
        with self._store.lock:
            return self._store.history.leader_seen or None

    def resigned_at(self) -> float | None:
        with self._store.lock:
            return self._store.resigned_at

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
            return tuple(
                report for _, (report, until) in sorted(store.reports.items()) if until > store.now()
            )

    def withdraw(self, node: str) -> None:
        with self._store.lock:
            self._store.reports.pop(node, None)
            self._store.left[node] = self._store.now()
            self._store.ring()

    def left(self) -> dict[str, float]:
        with self._store.lock:
            return dict(self._store.left)
