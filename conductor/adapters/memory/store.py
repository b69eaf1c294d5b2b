"""The steps that several verbs share on what the twin remembers (the twin of `adapters/redis/lua/steps.lua`):
how a job begins to wait, is lost, dies and comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conductor.adapters.memory import priority_inheritance
from conductor.adapters.memory.store_state import StoreState
from conductor.adapters.memory.stored_job import OperatorRequest, StoredJob, forget_failures, note_orphan
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import JobState
from conductor.model.snapshot import Reservation

OVER: tuple[JobState, ...] = ("dead", "cancelled")


class Store(StoreState):
    """All of it: what the verbs of the ports are made of."""

    def free(self, job: StoredJob) -> None:
        """Those who waited for a job that is done now."""
        for other in self._dependants(job.id, forget=True):
            self._settle(other, other.waits_for, job.id)
            self._settle(other, other.waits_for_end, job.id)

    def bury(self, job: StoredJob, state: JobState) -> None:
        """Dead or cancelled; the jobs in whose `after` it stands die with it, however deep."""
        self.move(job, state)
        deaths, before = [job], set[str]()
        while deaths:
            dead = deaths.pop()
            before |= dead.waits_for | dead.waits_for_end
            for other in self._dependants(dead.id):
                self._settle(other, other.waits_for_end, dead.id)
                if dead.id in other.waits_for and other.state in ("waiting", "review"):
                    note_orphan(other, dead.id)
                    self.move(other, "dead")
                    deaths.append(other)
        priority_inheritance.take_back(self, before)

    def shelve(self, job: StoredJob) -> None:
        """Into review, out of wherever it waited; the jobs that come after it, dead or alive, wait there
        with it.
        """
        self.unrest(job)
        self.move(job, "review")
        shelved = [job]
        while shelved:
            root = shelved.pop()
            for other in self._dependants(root.id):
                if other.state == "waiting" and (
                    root.id in other.waits_for or root.id in other.waits_for_end
                ):
                    self.move(other, "review")
                    shelved.append(other)

    def begin_to_wait(
        self,
        job: StoredJob,
        after: Sequence[str],
        after_ended: Sequence[str],
        over: JobState | None = None,
        not_before: float | None = None,
    ) -> None:
        """Into the backlog, behind what it comes after, by the state things are in now. Unknown counts as
        unmet; dead takes it along, and so does what is set aside. `over`: it is over already."""
        self.want(job, after, after_ended)
        doomed = [other for other in after if self.state_of(other) in OVER]
        if over:
            self.bury(job, over)
        elif doomed:
            note_orphan(job, doomed[-1])
            self.bury(job, "dead")
        elif any(self._is_set_aside(other) for other in job.waits_for | job.waits_for_end):
            self.shelve(job)
        else:
            self.rest(job, not_before)
        if job.state in ("waiting", "review"):
            priority_inheritance.lift_before(self, job)

    def want(self, job: StoredJob, after: Sequence[str], after_ended: Sequence[str]) -> None:
        job.waits_for |= {other for other in after if self.state_of(other) != "done"}
        job.waits_for_end |= {other for other in after_ended if self.state_of(other) not in ("done", *OVER)}
        for other in job.waits_for | job.waits_for_end:
            self.waited_on_by[other].add(job.id)

    def revive(self, job: StoredJob) -> None:
        """Those who died with a job that lives again, or went into review with it: each comes back unless it
        wants another."""
        risen = [job]
        while risen:
            for other in self._dependants(risen.pop().id):
                died_with = other.state == "dead" and other.cause == "dependency_dead"
                waits_with = other.state == "review" and bool(other.waits_for or other.waits_for_end)
                if (died_with or waits_with) and not self.is_blocked(other):
                    if died_with:
                        forget_failures(other)
                    priority_inheritance.fit(self, other)
                    self.move(other, "waiting")
                    self.rest(other)
                    priority_inheritance.lift_before(self, other)
                    risen.append(other)

    def is_blocked(self, job: StoredJob) -> bool:
        """Does it come after a job that is dead, cancelled or set aside? A verdict comes by itself."""
        after = {self.state_of(job_id) for job_id in job.waits_for}
        is_aside = any(map(self._is_set_aside, job.waits_for | job.waits_for_end))
        return bool(after & {"dead", "cancelled"}) or is_aside

    def _is_set_aside(self, job_id: str) -> bool:
        job = self.jobs.get(job_id)
        return job is not None and job.is_set_aside

    def lose(self, job: StoredJob, cause: Cause, message: str, then: Retry | Dead) -> Reservation | None:
        """An attempt ended without a receipt that counts: back to the backlog, or to its grave. The
        operator's word wins. What it held; None where it was the operator who ended it."""
        asked = job.asked or (OperatorRequest("cancel", cause, message) if cause == "cancelled" else None)
        held = self.release(job)
        is_free = asked is None and isinstance(then, Retry) and then.is_free
        if not is_free and (asked is None or asked.verb != "requeue"):
            job.failures[(asked and asked.cause) or cause] += 1
        if asked is not None:
            self.as_asked(job, asked)
        else:
            job.cause, job.message = cause, message
            if isinstance(then, Dead):
                self.bury(job, "dead")
            else:
                if then.job_class is not None:
                    job.job_class = self.classes.setdefault(then.job_class.id, then.job_class)
                priority_inheritance.fit(self, job, is_any=True)
                self.move(job, "waiting")
                self.rest(job, self.now() + then.delay_s)
        self.ring()
        return held if asked is None else None

    def go_back(self, job: StoredJob) -> None:
        """An attempt whose body never began goes back at no cost: it waits, or is what the operator asked."""
        asked = job.asked or OperatorRequest("requeue")
        self.release(job)
        self.as_asked(job, asked)

    def as_asked(self, job: StoredJob, asked: OperatorRequest) -> None:
        """What the operator asked for becomes of a job that holds nothing (any more)."""
        if asked.verb == "requeue":
            priority_inheritance.fit(self, job, is_any=True)
            self.move(job, "waiting")
            self.rest(job)
            return
        job.cause, job.message = asked.cause, asked.message
        self.bury(job, "cancelled" if asked.verb == "cancel" else "dead")

    def _dependants(self, job_id: str, forget: bool = False) -> Iterator[StoredJob]:
        waited_on_by = (
            self.waited_on_by.pop(job_id, set()) if forget else self.waited_on_by.get(job_id, set())
        )
        return (self.jobs[other] for other in sorted(waited_on_by))

    def _settle(self, job: StoredJob, waits_for: set[str], settled: str) -> None:
        """One of the things it waited for is settled; when it was the last one, it may go."""
        if settled in waits_for:
            waits_for.discard(settled)
            if job.state == "review" and not self.is_blocked(job):
                self.move(job, "waiting")
            if job.state == "waiting":
                self.rest(job)
