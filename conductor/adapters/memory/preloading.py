"""Successors lined up behind running attempts, in memory (the twin of `adapters/redis/lua/preload.lua`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from msgspec import structs

from conductor.adapters.memory import breakers
from conductor.adapters.memory.admission import (
    is_held_back,
    is_of_another_line,
    is_waiting,
    objection,
    take_place,
)
from conductor.adapters.memory.store import LinedUp, Store, StoredJob
from conductor.core.capacity.charges import charges, is_of_disk
from conductor.core.failures.history import LIFE
from conductor.model.decision import Successor
from conductor.model.ledger_entries import Begun, Preloaded, Started
from conductor.model.snapshot import Reservation

#: Words that nobody reads: then no more are said.
MOST_UNREAD = 8
#: So short that what they gain is less than what it costs to tell.
SHORTEST_S = 0.005


def preload_all(
    store: Store, successors: Sequence[Successor], landed: Mapping[str, int], short: Set[str]
) -> None:
    """By this tick: who is not named again is taken back. So are those with claims on what it was `short` of
    (charge keys)."""
    named = {successor.predecessor: successor.admission.reservation.job_id for successor in successors}
    preloaded: set[str] = set()
    for predecessor, lined in store.lined.items():
        if lined.is_void:
            continue
        if named.get(predecessor) == lined.job_id and is_next(store, lined) and short.isdisjoint(lined.claim):
            preloaded.add(lined.job_id)
        else:
            lined.is_void = True
            store.lines[lined.worker].append(_word(predecessor, lined, None))
    for successor in successors:
        held = successor.admission.reservation
        if held.job_id in preloaded or successor.predecessor in store.lined:
            continue
        if _preload(store, successor, landed, short):
            preloaded.add(held.job_id)


def is_next(store: Store, lined: LinedUp) -> bool:
    """Is it still to go next, under that number?"""
    job = store.jobs.get(lined.job_id)
    is_live = job is not None and not lined.is_void and job.attempts == lined.attempt
    if not is_live or job is None or is_of_another_line(job, lined.admission.reservation):
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
    lined = store.lined.get(begun.predecessor)
    told = (begun.of_attempt, begun.job_id, begun.attempt, worker)
    if lined is None or (lined.of_attempt, lined.job_id, lined.attempt, lined.worker) != told:
        return False
    r = lined.admission.reservation
    return is_next(store, lined) and not breakers.objection(store, r) and not is_held_back(store, r)


def follow(store: Store, lined: LinedUp) -> None:
    """waiting → admitted, in the place of the one that has just ended."""
    take_place(store, store.jobs[lined.job_id], lined.admission.reservation)
    store.was_handed_on()
    store.handed_ahead += 1


def not_lined(store: Store, begun: Begun) -> None:
    """Its worker did not begin it, and will not."""
    lined = store.lined.get(begun.predecessor)
    if lined is None or (lined.job_id, lined.attempt) != (begun.job_id, begun.attempt):
        return
    store.count_claim(store.jobs[begun.predecessor], lined.claim, -1)
    lined.claim = {}
    if lined.is_void:
        del store.lined[begun.predecessor]
        store.ring()
    else:
        lined.is_void = True


def _preload(store: Store, successor: Successor, landed: Mapping[str, int], short: Set[str]) -> bool:
    r, predecessor = successor.admission.reservation, store.jobs.get(successor.predecessor)
    worker = _worker_of(store, predecessor, successor.attempt, r.queue)
    if worker is None or predecessor is None or (job := store.jobs.get(r.job_id)) is None:
        return False
    if r.attempt % LIFE == 0:
        return False  # Waiting under it, it would look as if a rebuild had put it there (`is_unheard`).
    given, wanted = predecessor.charges, charges(r)
    claim = {key: amount for key, amount in wanted.items() if is_of_disk(key)}
    if any(amount > given.get(key, 0) for key, amount in wanted.items() if key not in claim):
        return False
    more = {key: wanted.get(key, 0) - given.get(key, 0) for key in given.keys() | wanted.keys()}
    if (
        not is_waiting(store, job)
        or not short.isdisjoint(claim)
        or objection(store, job, successor.admission, more, landed)
    ):
        return False
    if breakers.objection(store, r) or is_of_another_line(job, r) or is_held_back(store, r):
        return False
    job.attempts = r.attempt
    store.history.stepped(r.attempt)
    lined = LinedUp(successor.attempt, r.job_id, r.attempt, worker, successor.admission, claim)
    store.count_claim(predecessor, claim, 1)
    store.lined[successor.predecessor] = lined
    held = structs.replace(r, admitted_at=store.now())
    started = Started(line=job.line, reservation=held, failures=dict(job.failures), job_class=job.job_class)
    store.lines[worker].append(_word(successor.predecessor, lined, started))
    return True


def _worker_of(store: Store, predecessor: StoredJob | None, attempt: int, queue: str) -> str | None:
    held: Reservation | None = predecessor.reservation if predecessor is not None else None
    if (
        predecessor is None
        or held is None
        or (held.attempt, held.state, held.queue) != (attempt, "running", queue)
    ):
        return None
    if predecessor.asked is not None or held.worker is None or len(store.lines[held.worker]) >= MOST_UNREAD:
        return None
    return held.worker if store.paces.get(held.task, SHORTEST_S) >= SHORTEST_S else None


def _word(predecessor: str, lined: LinedUp, started: Started | None) -> Preloaded:
    return Preloaded(
        predecessor=predecessor,
        of_attempt=lined.of_attempt,
        job_id=lined.job_id,
        attempt=lined.attempt,
        successor=started,
    )
