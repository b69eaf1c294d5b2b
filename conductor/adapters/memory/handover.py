"""The conductor's writes, in memory; its queues stand in for RQ's."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.adapters.memory import kinds
from conductor.adapters.memory.store import Job, Store, entry_of
from conductor.core.charges import charges
from conductor.errors import Fenced
from conductor.model.decision import Admission, GateLedger
from conductor.model.snapshot import Reservation


class MemoryHandover:
    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, epoch: int, admissions: Sequence[Admission]) -> tuple[str | None, ...]:
        with self._store.lock:
            if admissions:
                self._fence(epoch)
            return tuple(self._hand_over(admission) for admission in admissions)

    def _fence(self, epoch: int) -> None:
        if epoch != self._store.epoch:
            raise Fenced("this conductor no longer leads")

    def _hand_over(self, admission: Admission) -> str | None:
        store, r = self._store, admission.reservation
        job = store.jobs.get(r.job_id)
        amounts = charges(r)
        if job is None or job.id not in store.ready[job.job_class.id].ids:
            return "not waiting"
        if objection := self._objection(job, admission, amounts) or kinds.objection(store, r):
            return objection
        if not job.attempts:
            store.longest_s = max(store.longest_s, store.now() - job.since)
        store.unrest(job)
        job.attempts = r.attempt
        store.move(job, "admitted")
        store.reserve(job, r)
        store.queues[r.queue].append(entry_of(r))
        return None

    def _objection(self, job: Job, admission: Admission, amounts: dict[str, int]) -> str | None:
        attempt = admission.reservation.attempt
        if attempt != job.attempts + 1:
            return f"attempt {attempt} is not its next"
        for key, limit in admission.ceilings.items():
            if self._store.sums[key] + amounts.get(key, 0) > limit:
                return f"over ceiling {key}"
        return None

    def reservations(self) -> tuple[Reservation, ...]:
        with self._store.lock:
            return eldest_first(list(self._store.active.values()))

    def queued(self) -> dict[str, int]:
        with self._store.lock:
            return {queue: len(entries) for queue, entries in self._store.queues.items() if entries}

    def take(self, queue: str, worker: str) -> tuple[str, int] | None:
        """What a worker does with BLMOVE: the next entry's job and attempt, now in its hand. None: nothing there."""
        with self._store.lock:
            entries = self._store.queues[queue]
            if not entries:
                return None
            entry = entries.pop(0)
            self._store.hands[worker].append(entry)
            job_id, _, attempt = entry.rpartition("-a")
            return job_id, int(attempt)

    def ask_ahead(
        self, heads: int, backlogs: Sequence[str], admitted_grace_s: float, lead: tuple[str, float] | None = None
    ) -> None:
        """Nothing is far away here."""

    def paces(self) -> dict[str, float]:
        with self._store.lock:
            return dict(self._store.paces)

    def leases(self) -> dict[str, float]:
        with self._store.lock:
            running = (job for job in self._store.active.values() if job.state == "running")
            return {job.id: job.lease_until for job in running}

    def orphans(self, admitted_grace_s: float) -> tuple[Reservation, ...]:
        with self._store.lock:
            return eldest_first([job for job in self._store.active.values() if self._is_orphan(job, admitted_grace_s)])

    def _is_orphan(self, job: Job, grace_s: float) -> bool:
        held, now = job.reservation, self._store.now()
        if held is None:
            return False
        if held.state == "running":
            return job.lease_until <= now
        if held.admitted_at > now - grace_s:
            return False
        if entry_of(held) in self._store.queues[held.queue]:
            job.popped_at = None
            return False
        job.popped_at = now if job.popped_at is None else job.popped_at
        return job.popped_at <= now - grace_s

    def record_gates(self, epoch: int, gates: GateLedger) -> None:
        with self._store.lock:
            self._fence(epoch)
            self._store.gates = gates

    def gates(self) -> GateLedger:
        with self._store.lock:
            return self._store.gates


def eldest_first(jobs: Sequence[Job]) -> tuple[Reservation, ...]:
    held = [job.reservation for job in jobs if job.reservation is not None]
    return tuple(sorted(held, key=lambda r: (r.admitted_at, r.job_id)))
