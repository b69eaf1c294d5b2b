"""The life of one attempt, in memory."""

from __future__ import annotations

from msgspec import structs

from conductor.adapters.memory.store import Job, Store, entry_of
from conductor.core.past import is_unheard
from conductor.errors import Fenced
from conductor.model.causes import Cause
from conductor.model.outcome import Dead, Retry
from conductor.model.receipt import Receipt, Usage
from conductor.model.snapshot import Reservation
from conductor.ports import AdoptAnswer, FinishAnswer, RenewAnswer, Started

#: How long a worker that was told to stop may take, over its lease.
STOP_S = 10.0


class MemoryAttempts:
    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        store = self._store
        with store.lock:
            entry = f"{job_id}-a{attempt}"
            if entry in store.hands[worker]:
                store.hands[worker].remove(entry)
            job, held = self._held(job_id)
            is_again = held.state == "running" and held.worker == worker
            if held.attempt != attempt or not (is_again or job.state == "admitted"):
                raise Fenced("another attempt has its place")
            if not is_again:
                held = structs.replace(held, state="running", worker=worker, started_at=store.now())
                job.reservation, job.popped_at = held, None
                store.move(job, "running")
                store.ring()
            job.lease_until = store.now() + lease_s
            return Started(line=job.line, reservation=held, failures=dict(job.failures), job_class=job.job_class)

    def _held(self, job_id: str) -> tuple[Job, Reservation]:
        job = self._store.jobs.get(job_id)
        if job is None or job.reservation is None:
            raise Fenced("this attempt is over")
        return job, job.reservation

    def renew(
        self,
        job_id: str,
        attempt: int,
        worker: str,
        lease_s: float,
        usage: Usage | None = None,
        progress: float | None = None,
        note: str = "",
        quiet_s: float = 0.0,
    ) -> RenewAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            held = job and job.reservation
            if job is None or held is None:
                is_news = job is None or is_unheard(job.state, job.attempts, attempt)
                return "unknown" if is_news else "gone"
            if held.attempt != attempt or held.state != "running" or held.worker != worker:
                return "gone"
            if job.asked is None:
                job.lease_until = store.now() + lease_s
            elif not job.is_told:
                job.is_told, job.lease_until = True, store.now() + lease_s + STOP_S
            if usage is not None or progress is not None or note or quiet_s:
                job.reservation = structs.replace(held, usage=usage, progress=progress, note=note, quiet_s=quiet_s)
            return "ok" if job.asked is None else "cancel"

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(reservation.job_id)
            if job is None:
                return "unknown"
            if not is_unheard(job.state, job.attempts, reservation.attempt):
                return "gone"
            store.unrest(job)
            job.attempts = reservation.attempt
            store.move(job, "running")
            store.reserve(job, reservation)
            now = store.now()
            assert job.reservation is not None
            job.reservation = structs.replace(job.reservation, state="running", worker=worker, started_at=now)
            job.lease_until = now + lease_s
            store.ring()
            return "ok"

    def accept(self, receipt: Receipt) -> FinishAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(receipt.job_id)
            if job is None:
                return "gone"
            if job.state == "done":
                return "accepted" if job.accepted == receipt.attempt else "already"
            if receipt.attempt <= job.redone:
                return "already"
            was_over = job.state in ("dead", "cancelled")
            store.unrest(job)
            store.release(job)
            job.wants, job.wants_end = set(), set()
            job.accepted = receipt.attempt
            store.move(job, "done")
            if was_over:
                store.revive(job)
            store.free(job)
            store.ring()
            return "accepted"

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        store = self._store
        with store.lock:
            job = store.jobs.get(receipt.job_id)
            if job is None:
                return "gone"
            if job.state == "done":
                return "already"
            if job.state != "running" or job.attempts != receipt.attempt:
                return "gone"
            store.lose(job, receipt.cause or "task_error", receipt.message[:500], then)
            return "accepted"

    def close_rate(self, key: str, for_s: float) -> None:
        store = self._store
        with store.lock:
            store.closed[key] = max(store.closed.get(key, 0.0), store.now() + for_s)
            store.refusals[key] = store.refusals.get(key, 0) + 1
            store.ring()

    def closings(self) -> dict[str, float]:
        with self._store.lock:
            return {key: until for key, until in self._store.closed.items() if until > self._store.now()}

    def refusals(self) -> dict[str, int]:
        with self._store.lock:
            return dict(self._store.refusals)

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
            store.lose(job, cause, message[:500], then)
            return True

    def give_back(self, job_id: str, attempt: int) -> bool:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.state != "admitted" or job.attempts != attempt:
                return False
            store.release(job)
            store.move(job, "waiting")
            store.rest(job)
            store.ring()
            return True

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        store = self._store
        with store.lock:
            held = [job.reservation for job in store.active.values() if job.reservation is not None]
            mine = [r for r in held if r.worker == worker or entry_of(r) in store.hands[worker]]
            return tuple(sorted(mine, key=lambda r: (r.admitted_at, r.job_id)))
