"""Known jobs that come with another line, or into another backlog, in memory (the twin of
`adapters/redis/lua/revise.lua`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from conductor.adapters.memory import breakers, priority_inheritance
from conductor.adapters.memory.store import OVER, Store
from conductor.adapters.memory.stored_job import StoredJob, forget_failures
from conductor.model.ledger_entries import Entry, Revised


class Revision:
    """One call. The lock is the caller's."""

    def __init__(self, store: Store, backlog: str, is_moving: bool, is_trial: bool) -> None:
        self._store = store
        self._backlog = backlog
        self._is_moving = is_moving
        self._is_trial = is_trial
        self._risen: dict[str, int] = {}
        self._elsewhere: Counter[str] = Counter()
        self._changed = self._going = self._done = self._moved = 0

    def of(self, entries: Sequence[Entry]) -> Revised:
        for entry in first_of_each(entries):
            job = self._store.jobs.get(entry.job_id)
            if job is not None and not entry.is_done:
                self._revise(job, entry)
        if not self._is_trial and self._changed + self._moved:
            self._store.ring()
        return Revised(
            changed=self._changed,
            risen=self._risen,
            going=self._going,
            done=self._done,
            moved=self._moved,
            elsewhere=dict(sorted(self._elsewhere.items())),
        )

    def _revise(self, job: StoredJob, entry: Entry) -> None:
        own, is_same = job.job_class.backlog, job.line == entry.line
        is_away, is_done = own != self._backlog, job.state == "done" or job.is_shown
        is_going = job.state in ("admitted", "running")
        if is_away and not is_done and (is_going or not self._is_moving):
            self._elsewhere[own] += 1
        elif is_same and (is_done or not is_away):
            if not self._is_trial and is_lifted(job, entry):
                self._store.unrest(job)
                self._into_class(job, entry)
                self._store.rest(job)
                priority_inheritance.lift_before(self._store, job)
        elif is_done:
            self._done += 1
        elif is_going:
            self._going += 1
        else:
            self._moved += is_away
            if not is_same:
                self._changed += 1
            if not self._is_trial:
                self._take_line(job, entry, is_same)
            elif not is_same and job.state in ("dead", "review") and not self._is_doomed(entry):
                self._risen[job.id] = job.attempts

    def _is_doomed(self, entry: Entry) -> bool:
        return any(self._store.state_of(other) in OVER for other in entry.after)

    def _take_line(self, job: StoredJob, entry: Entry, is_same: bool) -> None:
        store, was = self._store, job.state
        if was == "waiting":
            store.unrest(job)
        before = job.waits_for | job.waits_for_end
        for other in before:
            store.waited_on_by[other].discard(job.id)
        job.waits_for, job.waits_for_end = set(), set()
        job.line = entry.line
        self._into_class(job, entry)
        if entry.files is not None:
            store.chains.revise(job.id, entry.files)
        if was == "cancelled" or (is_same and was != "waiting"):
            store.want(job, entry.after, entry.after_ended)
            priority_inheritance.take_back(store, before)
            return
        if was != "waiting":
            forget_failures(job)
            if was == "review":
                breakers.resumed(store, entry.job_class.kind)
            store.move(job, "waiting")
        store.begin_to_wait(job, entry.after, entry.after_ended)
        priority_inheritance.take_back(store, before)
        if was != "waiting" and store.state_of(job.id) == "waiting":
            self._risen[job.id] = job.attempts
            store.revive(job)

    def _into_class(self, job: StoredJob, entry: Entry) -> None:
        store = self._store
        store.counts[job.job_class.backlog][job.state] -= 1
        store.counts.setdefault(self._backlog, Counter())[job.state] += 1
        job.job_class = store.classes.setdefault(entry.job_class.id, entry.job_class)
        job.is_revised, job.own_priority = True, entry.own_priority
        priority_inheritance.fit(store, job, is_any=True)


def is_lifted(job: StoredJob, entry: Entry) -> bool:
    """Another priority is handed down to it than when it was put. One that failed keeps the class it was
    taught.
    """
    is_clean = job.state == "waiting" and job.cause is None and not job.failures
    return is_clean and job.job_class.priority != entry.job_class.priority


def first_of_each(entries: Sequence[Entry]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.job_id, entry)
    return list(found.values())
