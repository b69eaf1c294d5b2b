"""Attempts that nobody runs any more, in memory: found, and given back."""

from __future__ import annotations

from conductor.adapters.memory import breakers
from conductor.adapters.memory.handover import eldest_first
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob, entry_of
from conductor.core.failures.failure_counts import fingerprint
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import Reservation


class MemoryOrphans:
    def __init__(self, store: Store) -> None:
        self._store = store

    def orphans(self, admitted_grace_s: float) -> tuple[Reservation, ...]:
        with self._store.lock:
            return eldest_first(
                [job for job in self._store.active.values() if self._is_orphan(job, admitted_grace_s)]
            )

    def _is_orphan(self, job: StoredJob, grace_s: float) -> bool:
        held, now = job.reservation, self._store.now()
        if held is None:
            return False
        if held.state == "running":
            return job.lease_until <= now
        if held.admitted_at > now - grace_s:
            return False
        if entry_of(held) in self._store.queues[held.queue]:
            job.off_queue_at = None
            return False
        job.off_queue_at = now if job.off_queue_at is None else job.off_queue_at
        return job.off_queue_at <= now - grace_s

    def leases(self) -> dict[str, float]:
        with self._store.lock:
            running = (job for job in self._store.active.values() if job.state == "running")
            return {job.id: job.lease_until for job in running}

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        store = self._store
        with store.lock:
            held = [job.reservation for job in store.active.values() if job.reservation is not None]
            mine = [r for r in held if r.worker == worker or entry_of(r) in store.prefetched[worker]]
            return tuple(sorted(mine, key=lambda r: (r.admitted_at, r.job_id)))

    def rescue(
        self,
        job_id: str,
        attempt: int,
        message: str,
        then: Retry | Dead,
        cause: Cause = "worker_lost",
        *,
        if_lapsed: bool = False,
    ) -> bool:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.state not in ("admitted", "running") or job.attempts != attempt:
                return False
            if if_lapsed and job.state == "running" and job.lease_until > store.now():
                return False
            held = store.lose(job, cause, message[:500], then)
            breakers.failed(
                store, held, "", fingerprint(cause, message, isinstance(then, Dead)), cause, message[:500]
            )
            return True

    def give_back(self, job_id: str, attempt: int) -> bool:
        with self._store.lock:
            return give_back(self._store, job_id, attempt)

    def remove_worker(self, worker: str, queue: str) -> None:
        store = self._store
        with store.lock:
            history = store.history
            if not store.is_settled and worker not in history.reported_workers:
                history.witness(history.steps + 1)
            history.workers.discard(worker)
            store.prefetched.pop(worker, None)
            if not store.is_settled and not history.silent:
                store.ring()


def give_back(store: Store, job_id: str, attempt: int, worker: str | None = None) -> bool:
    """Also of a running one, where `worker` is the one that runs it, and says that its body never began. The
    lock is the caller's."""
    job = store.jobs.get(job_id)
    if job is None or job.attempts != attempt or job.reservation is None:
        return False
    if job.state != "admitted" and (worker is None or job.reservation.worker != worker):
        return False
    store.go_back(job)
    store.ring()
    return True
