"""Jobs that wait for a person's verdict, in memory (the twin of `adapters/redis/lua/judge.lua` and
`reject.lua`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob
from conductor.model.causes import Cause
from conductor.model.receipt import body_of
from conductor.model.review import ItemVerdict, OpenReview, ReviewAsked
from conductor.model.snapshot import Reservation


class MemoryReviews:
    def __init__(self, store: Store) -> None:
        self._store = store

    def shown(self) -> dict[str, str]:
        with self._store.lock:
            return {
                job.id: body_of(job.accepted, job.token) for job in self._store.jobs.values() if job.is_shown
            }

    def asked(self, ids: Sequence[str]) -> tuple[OpenReview, ...]:
        with self._store.lock:
            jobs = (self._store.jobs.get(job_id) for job_id in ids)
            return tuple(
                OpenReview(
                    job_id=job.id,
                    body=body_of(job.accepted, job.token),
                    asked=job.shown,
                    verdicts=by_item(job),
                    behind=len(self._store.waited_on_by.get(job.id, ())),
                )
                for job in jobs
                if job is not None and job.shown is not None
            )

    def judge(
        self, job_id: str, body: str, verdicts: Sequence[ItemVerdict]
    ) -> tuple[ItemVerdict, ...] | None:
        with self._store.lock:
            if (job := self._shown(job_id, body)) is None:
                return None
            for verdict in verdicts:
                job.verdicts.setdefault(verdict.item, verdict)
            return by_item(job)

    def reject(self, job_id: str, body: str, cause: Cause, message: str) -> bool:
        store = self._store
        with store.lock:
            if (job := self._shown(job_id, body)) is None:
                return False
            job.failures[cause] += 1
            job.cause, job.message = cause, message[:500]
            store.bury(job, "dead")
            store.ring()
            return True

    def _shown(self, job_id: str, body: str) -> StoredJob | None:
        job = self._store.jobs.get(job_id)
        is_it = job is not None and job.is_shown and body_of(job.accepted, job.token) == body
        return job if is_it else None


def by_item(job: StoredJob) -> tuple[ItemVerdict, ...]:
    return tuple(job.verdicts[item] for item in sorted(job.verdicts))


def show(store: Store, job: StoredJob, held: Reservation | None, code: str, asked: ReviewAsked) -> None:
    """Its accepted body waits for a person."""
    job.shown = asked
    if held is not None and held.kind and held.role:
        job.shown_as = structs.replace(held, code=code or held.code)
        store.count_shown(job.shown_as, 1)
