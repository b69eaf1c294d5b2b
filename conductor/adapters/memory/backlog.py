"""The backlog by class, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from conductor.adapters.memory.admission import take_offer
from conductor.adapters.memory.revise import Revision
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import StoredJob
from conductor.model.causes import by_cause
from conductor.model.chains import ChainStates
from conductor.model.ledger_entries import (
    MOST_NAMED,
    STATES,
    WAITED_FOR,
    Entry,
    JobState,
    JobView,
    Pulse,
    PutResult,
    Revised,
    Unsettled,
)
from conductor.model.receipt import body_of
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import Candidate, Head, Lookahead

#: Dispatches that are known to be in whole (`adapters/redis/lua/complete.lua`).
MOST_COMPLETE = 1000


class MemoryBacklog:
    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, backlog: str, entries: Sequence[Entry]) -> PutResult:
        for entry in entries:
            if entry.job_class.backlog != backlog:
                raise ValueError(
                    f"{entry.job_id}: its class is of backlog {entry.job_class.backlog}, not {backlog}"
                )
        store = self._store
        with store.lock:
            fresh = {e.job_id: e for e in reversed(entries) if e.job_id not in store.jobs}
            new = [entry for entry in entries if fresh.get(entry.job_id) is entry]
            if entries:
                store.counts.setdefault(backlog, Counter())
            jobs = [self._add(backlog, entry) for entry in new]
            for job, entry in zip(jobs, new, strict=True):
                self._bind(job, entry)
            is_taken = len(entries) == len(new) == 1 and new[0].is_plain and take_offer(store, jobs[0])
            if new and not is_taken:
                store.ring()
        return PutResult(new=len(new), known=len(entries) - len(new))

    def revise(
        self, backlog: str, entries: Sequence[Entry], *, is_moving: bool = False, is_trial: bool = False
    ) -> Revised:
        with self._store.lock:
            return Revision(self._store, backlog, is_moving, is_trial).of(entries)

    def _add(self, backlog: str, entry: Entry) -> StoredJob:
        store = self._store
        job_class = store.classes.setdefault(entry.job_class.id, entry.job_class)
        seq = len(store.jobs) + 1
        job = StoredJob(entry.job_id, entry.line, job_class, seq, store.now(), attempts=entry.attempts)
        if entry.is_done:
            job.state, job.accepted, job.token = "done", entry.attempts, entry.token
        elif entry.shown is not None:
            job.state, job.accepted, job.token = "review", entry.attempts, entry.token
            job.shown, job.verdicts = entry.shown, {verdict.item: verdict for verdict in entry.verdicts}
        store.jobs[job.id] = job
        store.counts[backlog][job.state] += 1
        return job

    def _bind(self, job: StoredJob, entry: Entry) -> None:
        """What it still waits for, by the state things are in now. Unknown counts as unmet; dead takes it
        along.
        """
        store = self._store
        if entry.files is not None:
            store.chains.add(job.id, job.state == "done", entry.files, entry.attempts)
        if job.state == "done":
            store.free(job)
            return
        if job.is_shown:
            return
        job.own_priority = entry.own_priority
        job.failures.update(entry.failures)
        if entry.cause is not None:
            job.cause, job.message = entry.cause, entry.message[:500]
        store.begin_to_wait(job, entry.after, entry.after_ended, entry.over, entry.not_before)

    def candidates(self, look: Lookahead) -> tuple[Candidate, ...]:
        store = self._store
        with store.lock:
            store.promote_due()
            found: list[Candidate] = []
            for class_id, waiting in sorted(store.ready.items()):
                job_class = store.classes[class_id]
                if waiting.ids and (not look.backlogs or job_class.backlog in look.backlogs):
                    first = (
                        store.jobs[job_id] for job_id in waiting.first(look.of.get(class_id, look.heads))
                    )
                    shown = tuple(
                        Head(job_id=job.id, attempts=max(job.attempts, store.history.floor), since=job.since)
                        for job in first
                    )
                    found.append(Candidate(job_class=job_class, waiting=len(waiting.ids), heads=shown))
            return tuple(found)

    def chain_states(self, heads: Sequence[str]) -> ChainStates:
        store = self._store
        with store.lock:
            return ChainStates(
                chains=tuple(store.chains.shown(heads)),
                written=store.chains.written,
                longest_wait_s=store.longest_s,
            )

    def heads(self, ids: Sequence[str]) -> tuple[tuple[str, Head], ...]:
        store = self._store
        with store.lock:
            jobs = (store.jobs[job_id] for job_id in ids if job_id in store.jobs)
            ready = (job for job in jobs if job.id in store.ready[job.job_class.id].ids)
            return tuple(
                (j.job_class.id, Head(job_id=j.id, attempts=j.attempts, since=j.since)) for j in ready
            )

    def counts(self, backlog: str | None = None) -> dict[JobState, int]:
        with self._store.lock:
            rows = [row for name, row in self._store.counts.items() if backlog in (None, name)]
            return {state: sum(row[state] for row in rows) for state in STATES}

    def backlogs(self) -> tuple[str, ...]:
        with self._store.lock:
            return tuple(sorted(self._store.counts))

    def generation(self, proposed: str | None = None) -> str | None:
        with self._store.lock:
            if self._store.generation is None:
                self._store.generation = proposed
            return self._store.generation

    def settle(self, for_s: float) -> None:
        with self._store.lock:
            self._store.settles_at = self._store.now() + for_s

    def pulse(self) -> Pulse:
        store = self._store
        with store.lock:
            now, unsettled = store.now(), None
            if not store.is_settled:
                _, heard_at, since = store.history.settling or (0, 0.0, now)
                unsettled = Unsettled(for_s=now - since, silent=len(store.history.silent), heard_at=heard_at)
            rebuilt_s = max(0.0, store.settles_at - now)
            return Pulse(mark=store.generation, rebuilt_s=rebuilt_s, unsettled=unsettled)

    def history(self) -> str:
        return str(self._store.history.server)

    def server(self) -> str:
        return "memory"

    def served_by(self) -> ServedBy | None:
        with self._store.lock:
            return self._store.served_by

    def note_server(self, served: ServedBy) -> None:
        with self._store.lock:
            self._store.served_by = served

    def complete(self, history: str, content: str, number: int) -> bool:
        with self._store.lock:
            if history != self.history():
                return False
            self._store.complete[content] = number
            rows = sorted((number, content) for content, number in self._store.complete.items())
            for _, oldest in rows[:-MOST_COMPLETE]:
                del self._store.complete[oldest]
            return True

    def completed(self) -> dict[str, int]:
        with self._store.lock:
            return dict(self._store.complete)

    def job(self, job_id: str) -> JobView | None:
        with self._store.lock:
            job = self._store.jobs.get(job_id)
            if job is None:
                return None
            waits = {
                other: self._store.state_of(other) or "unknown" for other in job.waits_for | job.waits_for_end
            }
            return view_of(job, waits, self._store.ready[job.job_class.id].before(job.id, job.seq))

    def waiters(self, job_id: str, limit: int) -> tuple[int, tuple[str, ...]]:
        with self._store.lock:
            some = sorted(self._store.waited_on_by.get(job_id, ()))
        return len(some), tuple(some[:limit])

    def find(self, prefix: str, limit: int = 10) -> tuple[str, ...]:
        with self._store.lock:
            found = [job_id for job_id in self._store.jobs if job_id.startswith(prefix)]
        return tuple(sorted(found[:limit]))

    def ids(self, state: JobState, backlog: str | None = None) -> Iterator[str]:
        with self._store.lock:
            jobs = list(self._store.jobs.values())
        return (job.id for job in jobs if job.state == state and backlog in (None, job.job_class.backlog))

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        with self._store.lock:
            return {job_id: self._store.jobs[job_id].state for job_id in ids if job_id in self._store.jobs}

    def lines(self, ids: Sequence[str]) -> dict[str, bytes]:
        with self._store.lock:
            return {job_id: self._store.jobs[job_id].line for job_id in ids if job_id in self._store.jobs}

    def causes(self, backlog: str | None = None) -> dict[str, int]:
        with self._store.lock:
            jobs = self._store.jobs.values()
            dead = [
                j.cause or "unknown"
                for j in jobs
                if j.state == "dead" and backlog in (None, j.job_class.backlog)
            ]
        return by_cause(Counter(cause for cause in dead if cause != "dependency_dead"), len(dead))

    def has_delayed(self, backlogs: Sequence[str] = ()) -> bool:
        with self._store.lock:
            waiting = [job for job in self._store.jobs.values() if job.not_before is not None]
        return any(not backlogs or job.job_class.backlog in backlogs for job in waiting)

    def died(self, backlog: str | None = None) -> Iterator[str]:
        with self._store.lock:
            jobs = [job for job in self._store.jobs.values() if job.state == "dead"]
        of_itself = (job for job in jobs if job.cause != "dependency_dead")
        return (job.id for job in of_itself if backlog in (None, job.job_class.backlog))


def view_of(job: StoredJob, waits: Mapping[str, str], ahead: int | None = None) -> JobView:
    """`waits`: those it waits for → their states."""
    return JobView(
        job_id=job.id,
        state=job.state,
        backlog=job.job_class.backlog,
        class_id=job.job_class.id,
        job_class=job.job_class,
        attempts=job.attempts,
        since=job.since,
        line=job.line,
        cause=job.cause,
        message=job.message,
        not_before=job.not_before,
        waits_for=tuple(
            sorted(waits, key=lambda other: (WAITED_FOR.index(waits[other]), other))[:MOST_NAMED]
        ),
        waits=Counter(waits.values()),
        ahead=ahead,
        reservation=job.reservation,
        failures=dict(job.failures),
        accepted=body_of(job.accepted, job.token) if job.accepted else "",
    )
