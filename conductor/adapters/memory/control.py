"""The operator's word, in memory."""

from __future__ import annotations

from conductor.adapters.memory.store import Store, forget_failures
from conductor.model.snapshot import Controls
from conductor.model.spec import LANES, Lane
from conductor.ports import JobState


class MemoryControl:
    def __init__(self, store: Store) -> None:
        self._store = store

    def controls(self) -> Controls:
        store = self._store
        with store.lock:
            return Controls(
                paused_lanes=tuple(lane for lane in LANES if lane in store.paused),
                is_draining=store.is_draining,
                draining_nodes=tuple(sorted(store.draining)),
            )

    def set_paused(self, lane: Lane, is_paused: bool) -> None:
        with self._store.lock:
            (self._store.paused.add if is_paused else self._store.paused.discard)(lane)
            self._store.ring()

    def set_draining(self, is_draining: bool, node: str | None = None) -> None:
        store = self._store
        with store.lock:
            if node is None:
                store.is_draining = is_draining
            else:
                (store.draining.add if is_draining else store.draining.discard)(node)
            store.ring()

    def cancel(self, job_id: str) -> JobState | None:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None:
                return None
            found = job.state
            if found == "running":
                job.is_cancelled = True
            elif found in ("waiting", "admitted"):
                store.unrest(job)
                store.release(job)
                job.cause, job.message = "cancelled", "by the operator"
                store.bury(job, "cancelled")
                store.ring()
            return found

    def retry(self, job_id: str) -> bool:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.state not in ("dead", "cancelled") or store.has_dead_wants(job):
                return False
            forget_failures(job)
            store.move(job, "waiting")
            store.rest(job)
            store.revive(job)
            store.ring()
            return True
