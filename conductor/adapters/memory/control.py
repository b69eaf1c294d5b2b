"""The operator's word, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.adapters.memory import priority_inheritance
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import OperatorRequest, forget_failures
from conductor.model.causes import Cause
from conductor.model.ledger_entries import BY_OPERATOR, NO_WAITS, JobState, Waits
from conductor.model.snapshot import Controls, JobClass
from conductor.model.spec import LANES, Lane

OVER = ("dead", "cancelled", "review")


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
                paused_devices=tuple(sorted(store.paused_devices)),
                paused_backlogs=tuple(sorted(store.paused_backlogs)),
            )

    def set_paused(self, lane: Lane, is_paused: bool) -> None:
        with self._store.lock:
            (self._store.paused.add if is_paused else self._store.paused.discard)(lane)
            self._store.ring()

    def set_backlog_paused(self, backlog: str, is_paused: bool) -> None:
        with self._store.lock:
            paused = self._store.paused_backlogs
            (paused.add if is_paused else paused.discard)(backlog)
            self._store.ring()

    def set_device_paused(self, place: str, is_paused: bool) -> int:
        store = self._store
        with store.lock:
            (store.paused_devices.add if is_paused else store.paused_devices.discard)(place)
            if not is_paused:
                store.resumed[place] = max(int(store.now() * 1000), store.resumed[place] + 1)
            store.ring()
            return 0 if is_paused else store.resumed[place]

    def say_resumed(self, place: str, word: int) -> bool:
        with self._store.lock:
            is_news = self._store.resumed[place] < word
            self._store.resumed[place] = max(word, self._store.resumed[place])
            return is_news

    def resumed(self) -> dict[str, int]:
        with self._store.lock:
            return dict(self._store.resumed)

    def set_draining(self, is_draining: bool, node: str | None = None) -> None:
        store = self._store
        with store.lock:
            if node is None:
                store.is_draining = is_draining
            else:
                (store.draining.add if is_draining else store.draining.discard)(node)
            store.ring()

    def cancel(self, job_id: str) -> JobState | None:
        return self._ask(job_id, OperatorRequest("cancel", "cancelled", BY_OPERATOR))

    def fail(self, job_id: str, cause: Cause, message: str) -> JobState | None:
        return self._ask(job_id, OperatorRequest("fail", cause, message[:500]))

    def requeue(self, job_id: str) -> JobState | None:
        return self._ask(job_id, OperatorRequest("requeue"))

    def _ask(self, job_id: str, asked: OperatorRequest) -> JobState | None:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None:
                return None
            found = job.state
            if found == "running":
                job.asked = asked
            elif found in ("waiting", "admitted") or (found == "review" and asked.verb != "requeue"):
                store.unrest(job)
                store.release(job)
                store.as_asked(job, asked)
                store.ring()
            elif found == "dead" and asked.verb == "cancel":
                job.cause, job.message = asked.cause, asked.message
                store.move(job, "cancelled")
            return found

    def asked(self) -> dict[str, str]:
        with self._store.lock:
            return {job.id: job.asked.verb for job in self._store.active.values() if job.asked is not None}

    def redo(
        self,
        job_id: str,
        attempt: int,
        after: Sequence[str] = (),
        after_ended: Sequence[str] = (),
        own: Waits = NO_WAITS,
        *,
        is_forced: bool = False,
    ) -> bool:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.state != "done" or job.accepted != attempt:
                return False
            if not is_forced and store.chains.is_being_removed(job_id):
                return False
            job.accepted, job.token, job.redone = 0, "", job.attempts
            store.move(job, "waiting")
            for others, name in ((after, "waits_for"), (after_ended, "waits_for_end")):
                for other in (store.jobs[o] for o in others if o in store.jobs):
                    if other.state in ("waiting", *OVER) and not other.is_shown:
                        store.unrest(other)
                        getattr(other, name).add(job_id)
                        store.waited_on_by[job_id].add(other.id)
            priority_inheritance.fit(store, job, is_any=True)
            store.begin_to_wait(job, *own)
            store.ring()
            return True

    def retry(self, job_id: str) -> bool:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.is_shown or job.state not in OVER or store.is_blocked(job):
                return False
            forget_failures(job)
            priority_inheritance.fit(store, job)
            store.move(job, "waiting")
            store.rest(job)
            priority_inheritance.lift_before(store, job)
            store.revive(job)
            store.ring()
            return True

    def reclass(self, job_id: str, job_class: JobClass) -> bool:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.state in ("admitted", "running", "done"):
                return False
            not_before = job.not_before
            if job.state == "waiting":
                store.unrest(job)
            job.job_class = store.classes.setdefault(job_class.id, job_class)
            if job.state == "waiting":
                store.rest(job, not_before)
            store.ring()
            return True

    def prioritise(self, job_id: str, priority: int) -> JobState | None:
        store = self._store
        with store.lock:
            job = store.jobs.get(job_id)
            if job is None or job.state in ("admitted", "running", "done"):
                return None if job is None else job.state
            priority_inheritance.prioritise(store, job, priority)
            store.ring()
            return job.state
