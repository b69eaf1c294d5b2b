"""Priority that is handed down to what a job waits for, in memory (the twin of what
`adapters/redis/lua/steps.lua` has of it).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from conductor.adapters.memory.store_state import StoreState
from conductor.adapters.memory.stored_job import StoredJob
from conductor.model.snapshot import JobClass


def class_with(store: StoreState, job_class: JobClass, priority: int) -> JobClass:
    """The class of the same jobs with another priority: «BASE^PRIORITY», or the one that it was made of."""
    base = job_class.id.partition("^")[0]
    made_of = store.classes.get(base)
    if made_of is not None and made_of.priority == priority:
        return made_of
    made = structs.replace(job_class, id=f"{base}^{priority}", priority=priority)
    return store.classes.setdefault(made.id, made)


def fit(store: StoreState, job: StoredJob, *, is_any: bool = False) -> bool:
    """Into the class that it belongs into now; was it in another one. `is_any`: also where it is not known to
    have inherited any. It does not rest meanwhile: that is the caller's."""
    if job.own_priority is None and not is_any:
        return False
    now = job.job_class.priority
    own = now if job.own_priority is None else job.own_priority
    priority = max([own, *(other.job_class.priority for other in _waiting_for(store, job.id))])
    if priority == now:
        return False
    job.own_priority = None if priority == own else own
    job.job_class = class_with(store, job.job_class, priority)
    return True


def prioritise(store: StoreState, job: StoredJob, priority: int) -> None:
    """Another priority of its own; it goes as of that, or of a higher one that is handed down to it."""
    before, not_before = job.job_class.priority, job.not_before
    now = max([priority, *(other.job_class.priority for other in _waiting_for(store, job.id))])
    job.own_priority = None if now == priority else priority
    if now == before:
        return
    if job.state == "waiting":
        store.unrest(job)
    job.job_class = class_with(store, job.job_class, now)
    if job.state == "waiting":
        store.rest(job, not_before)
    if job.state in ("waiting", "review"):
        if now > before:
            lift_before(store, job)
        else:
            take_back(store, job.waits_for | job.waits_for_end)


def lift_before(store: StoreState, job: StoredJob) -> None:
    """What it comes after, through however many, goes at least as it does."""
    priority, above = job.job_class.priority, [job]
    while above:
        for other in _wanted_by(store, above.pop()):
            own = other.job_class.priority
            if other.state in ("waiting", "review") and own < priority:
                not_before = other.not_before
                if other.state == "waiting":
                    store.unrest(other)
                other.job_class = class_with(store, other.job_class, priority)
                if other.state == "waiting":
                    store.rest(other, not_before)
                other.own_priority = own if other.own_priority is None else other.own_priority
                above.append(other)


def take_back(store: StoreState, ids: Iterable[str]) -> None:
    """Of those that one came after which waits no more: what it had handed down."""
    left = sorted(ids)
    while left:
        other = store.jobs.get(left.pop())
        if other is None or other.state in ("admitted", "running", "done"):
            continue
        was, not_before = other.job_class, other.not_before
        if not fit(store, other):
            continue
        now, other.job_class = other.job_class, was
        if other.state == "waiting":
            store.unrest(other)
        other.job_class = now
        if other.state == "waiting":
            store.rest(other, not_before)
        left += sorted(other.waits_for | other.waits_for_end)


def _waiting_for(store: StoreState, job_id: str) -> list[StoredJob]:
    others = (store.jobs[other] for other in store.waited_on_by.get(job_id, ()))
    return [o for o in others if o.state in ("waiting", "review") and job_id in o.waits_for | o.waits_for_end]


def _wanted_by(store: StoreState, job: StoredJob) -> list[StoredJob]:
    return [store.jobs[other] for other in sorted(job.waits_for | job.waits_for_end) if other in store.jobs]
