"""Successors preloaded behind running attempts, in memory (the twin of `adapters/redis/lua/preload.lua`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from msgspec import structs

from conductor.adapters.memory import breakers
from conductor.adapters.memory.admission import (
    is_held_back,
    is_of_another_line,
    is_waiting,
    objection,
    report_objection,
    take_place,
)
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import PreloadedSuccessor, StoredJob
from conductor.core.capacity.charges import charges, is_of_disk
from conductor.core.failures.history import GENERATION_STEP
from conductor.model.decision import Successor
from conductor.model.ledger_entries import Begun, Preloaded, Started
from conductor.model.snapshot import Reservation

#: Words that nobody reads: then no more are said.
MOST_UNREAD = 8
#: So short that what they gain is less than what it costs to tell.
SHORTEST_S = 0.005


def preload_all(
    store: Store, successors: Sequence[Successor], written: Mapping[str, int], short: Set[str]
) -> None:
    """By this tick: who is not named again is taken back. So are those with claims on what it was `short` of
    (charge keys)."""
    named = {successor.predecessor: successor.admission.reservation.job_id for successor in successors}
    preloaded: set[str] = set()
    for predecessor, preload in store.preloaded.items():
        if preload.is_void:
            continue
        if (
            named.get(predecessor) == preload.job_id
            and is_next(store, preload)
            and short.isdisjoint(preload.claim)
        ):
            preloaded.add(preload.job_id)
        else:
            preload.is_void = True
            store.successor_feeds[preload.worker].append(_word(predecessor, preload, None))
    for successor in successors:
        held = successor.admission.reservation
        if held.job_id in preloaded or successor.predecessor in store.preloaded:
            continue
        if _preload(store, successor, written, short):
            preloaded.add(held.job_id)


def is_next(store: Store, preload: PreloadedSuccessor) -> bool:
    """Is it still to go next, under that number?"""
    job = store.jobs.get(preload.job_id)
    is_live = job is not None and not preload.is_void and job.attempts == preload.attempt
    if not is_live or job is None or is_of_another_line(job, preload.admission.reservation):
        return False
    return job.state == "waiting" and is_waiting(store, job)


def may_follow(store: Store, begun: Begun, worker: str) -> bool:
    """Its body has begun: may it be an attempt? Also where it is one already (the answer was lost)."""
    job = store.jobs.get(begun.job_id)
    held = job.reservation if job is not None else None
    if (
        held is not None
        and held.attempt == begun.attempt
        and held.state == "running"
        and held.worker == worker
    ):
        return True
    preload = store.preloaded.get(begun.predecessor)
    told = (begun.of_attempt, begun.job_id, begun.attempt, worker)
    if preload is None or (preload.of_attempt, preload.job_id, preload.attempt, preload.worker) != told:
        return False
    r = preload.admission.reservation
    why_not = breakers.objection(store, r) or report_objection(store, r)
    return is_next(store, preload) and not why_not and not is_held_back(store, r)


def follow(store: Store, preload: PreloadedSuccessor) -> None:
    """waiting → admitted, in the place of the one that has just ended."""
    take_place(store, store.jobs[preload.job_id], preload.admission.reservation)
    store.count_succession()
    store.early_successions += 1


def not_preloaded(store: Store, begun: Begun) -> None:
    """Its worker did not begin it, and will not."""
    preload = store.preloaded.get(begun.predecessor)
    if preload is None or (preload.job_id, preload.attempt) != (begun.job_id, begun.attempt):
        return
    store.count_claim(store.jobs[begun.predecessor], preload.claim, -1)
    preload.claim = {}
    if preload.is_void:
        del store.preloaded[begun.predecessor]
        store.ring()
    else:
        preload.is_void = True


def _preload(store: Store, successor: Successor, written: Mapping[str, int], short: Set[str]) -> bool:
    r, predecessor = successor.admission.reservation, store.jobs.get(successor.predecessor)
    worker = _worker_of(store, predecessor, successor.attempt, r.queue)
    if worker is None or predecessor is None or (job := store.jobs.get(r.job_id)) is None:
        return False
    if r.attempt % GENERATION_STEP == 0:
        return False  # Waiting under it, it would look as if a rebuild had put it there (`is_unheard`).
    given, waited_on_by = predecessor.charges, charges(r)
    claim = {key: amount for key, amount in waited_on_by.items() if is_of_disk(key)}
    if any(amount > given.get(key, 0) for key, amount in waited_on_by.items() if key not in claim):
        return False
    more = {key: waited_on_by.get(key, 0) - given.get(key, 0) for key in given.keys() | waited_on_by.keys()}
    if (
        not is_waiting(store, job)
        or not short.isdisjoint(claim)
        or objection(store, job, successor.admission, more, written)
    ):
        return False
    if breakers.objection(store, r) or report_objection(store, r):
        return False
    if is_of_another_line(job, r) or is_held_back(store, r):
        return False
    job.attempts = r.attempt
    store.history.stepped(r.attempt)
    preload = PreloadedSuccessor(successor.attempt, r.job_id, r.attempt, worker, successor.admission, claim)
    store.count_claim(predecessor, claim, 1)
    store.preloaded[successor.predecessor] = preload
    held = structs.replace(r, admitted_at=store.now())
    started = Started(line=job.line, reservation=held, failures=dict(job.failures), job_class=job.job_class)
    store.successor_feeds[worker].append(_word(successor.predecessor, preload, started))
    return True


def _worker_of(store: Store, predecessor: StoredJob | None, attempt: int, queue: str) -> str | None:
    held: Reservation | None = predecessor.reservation if predecessor is not None else None
    if (
        predecessor is None
        or held is None
        or (held.attempt, held.state, held.queue) != (attempt, "running", queue)
    ):
        return None
    if (
        predecessor.asked is not None
        or held.worker is None
        or len(store.successor_feeds[held.worker]) >= MOST_UNREAD
    ):
        return None
    return held.worker if store.task_durations.get(held.task, SHORTEST_S) >= SHORTEST_S else None


def _word(predecessor: str, preload: PreloadedSuccessor, started: Started | None) -> Preloaded:
    return Preloaded(
        predecessor=predecessor,
        of_attempt=preload.of_attempt,
        job_id=preload.job_id,
        attempt=preload.attempt,
        successor=started,
    )
