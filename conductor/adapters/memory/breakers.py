"""Canaries and breakers, in memory: the twin of `adapters/redis/lua/breakers.lua`."""

from __future__ import annotations

from collections import Counter

import msgspec

from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob
from conductor.base.errors import Fenced
from conductor.core.failures import failure_counts
from conductor.model.causes import Cause
from conductor.model.snapshot import KindState, Reservation
from conductor.ports import Breakers


class MemoryKinds(Breakers):
    def __init__(self, store: Store) -> None:
        self._store = store

    def states(self) -> tuple[tuple[KindState, ...], dict[str, int]]:
        store = self._store
        with store.lock:
            news = ((field, record) for field, record in sorted(store.kinds.items()) if record.is_news)
            found = (failure_counts.state_of(field, record) for field, record in news)
            return tuple(found), {name: n for name, row in store.counts.items() if (n := row["review"])}

    def review(self, epoch: int, kind: str, most: int) -> int:
        store = self._store
        with store.lock:
            if epoch != store.epoch:
                raise Fenced("this conductor no longer leads")
            free = [j for queue in store.ready.values() for j in queue.ids]
            waiting = [store.jobs[job_id] for job_id in (*free, *(j for _, j in store.delayed))]
            theirs = {job.id: job for job in waiting if is_loose(job, store) and job.job_class.kind == kind}
            moved = sorted(theirs.values(), key=lambda job: (job.not_before is not None, job.seq))[:most]
            for job in moved:
                store.shelve(job)
            if len(moved) < most:
                for field, record in each_code(store, kind):
                    if record.opened_at is not None:
                        store.kinds[field] = msgspec.structs.replace(record, is_reviewed=True)
            if moved:
                store.ring()
            return len(moved)

    def resume(self, kind: str) -> int:
        store = self._store
        with store.lock:
            kinds = {
                field.rpartition("@")[0]
                for field, record in store.kinds.items()
                if record.opened_at is not None
            }
            meant = [k for k in kinds if k == kind or k.startswith(f"{kind}:")]
            for k in meant:
                resumed(store, k)
            store.ring()
            return len(meant)

    def in_review(self, backlog: str | None = None) -> dict[str, int]:
        with self._store.lock:
            jobs = (job for job in self._store.jobs.values() if job.is_set_aside)
            return dict(Counter(j.job_class.kind for j in jobs if backlog in (None, j.job_class.backlog)))


def resumed(store: Store, kind: str) -> None:
    """A closed kind is tried at once, whatever was tried before."""
    for field, record in list(each_code(store, kind)):
        if record.opened_at is not None:
            store.kinds[field] = msgspec.structs.replace(record, probes=0, is_reviewed=False, last_at=0.0)


def is_loose(job: StoredJob, store: Store) -> bool:
    """It may go now, or when its back-off is over."""
    return job.state == "waiting" and (
        job.not_before is not None or job.id in store.ready[job.job_class.id].ids
    )


def each_code(store: Store, kind: str) -> list[tuple[str, failure_counts.KindRecord]]:
    return [(field, record) for field, record in store.kinds.items() if field.rpartition("@")[0] == kind]


def failed(
    store: Store,
    held: Reservation | None,
    code: str,
    alike_in: str,
    cause: Cause,
    message: str,
    place: str = "",
) -> None:
    """An attempt failed in a way that counts (`alike_in` not empty)."""
    if held is None or not held.kind or not alike_in:
        return
    field = f"{held.kind}@{code or held.code}"
    record = store.kinds.get(field, failure_counts.KindRecord())
    store.kinds[field], opens = failure_counts.failed(
        record, alike_in, cause, message, store.now(), held.role, held.breaker, place
    )
    if opens:
        take_back(store, held.kind)


def passed(store: Store, held: Reservation | None, code: str) -> None:
    if held is None or not held.kind:
        return
    field = f"{held.kind}@{code or held.code}"
    record = failure_counts.passed(store.kinds.get(field), store.now(), held.role)
    if held.role == "probe":
        for other, its in each_code(store, held.kind):
            if its.opened_at is not None:
                del store.kinds[other]
    if record is not None:
        store.kinds[field] = record
    else:
        store.kinds.pop(field, None)


def objection(store: Store, r: Reservation) -> str | None:
    """May it be handed over, by a breaker that may have opened since it was decided?"""
    record = store.kinds.get(f"{r.kind}@{r.code}")
    is_closed = r.kind and r.role != "probe" and record is not None and record.opened_at is not None
    return f"its kind was closed: {r.kind}" if is_closed else None


def take_back(store: Store, kind: str) -> None:
    """What is handed over and not started goes back at no cost: there is no need to see that fail too."""
    handed = [job for job in store.active.values() if job.state == "admitted"]
    for job in handed:
        if job.reservation is not None and job.reservation.kind == kind:
            store.release(job)
            store.move(job, "waiting")
            store.rest(job)
