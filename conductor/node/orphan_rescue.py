"""What a dead worker held goes back to the backlog at once; what nobody here will take goes back too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from conductor.base.logs.events import emit_event
from conductor.base.text import size
from conductor.core.failures.history import named
from conductor.core.failures.retry import after_failure
from conductor.core.needs.escalation import raised
from conductor.core.needs.learned_amounts import RAN_OUT_OF, largest
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import JobView
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.snapshot import Reservation
from conductor.model.spec import TaskDecl, from_line, resolve
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.node.cleanup.orphaned_receipts import settle_all
from conductor.node.supervisor import Death
from conductor.ports import Ledger

#: Of jobs whose node was told to stop at once: nobody's fault, and no try of theirs.
TOLD = "its node was told to stop at once"
#: A job's own retry table (its line's over its task's).
Overrides = Callable[[JobView], Mapping[Cause, int]]


def rescue(
    ledger: Ledger,
    death: Death,
    overrides: Overrides,
    on_dead: Callable[[Reservation], None] = lambda held: None,
    limits: Limits | None = None,
    *,
    is_told: bool = False,
) -> int:
    """Return all that this worker had taken, started or not; how many. Raises `Unreachable`: then call it
    again.

    `on_dead` hears of those that nobody will try again. `is_told`: the worker was killed by the operator's
    word to stop at once."""
    held_by = ledger.orphans.held_by(death.worker)
    if is_told:
        count = sum(_put_back(ledger, held) for held in held_by)
    else:
        count = sum(_return(ledger, held, death, overrides, on_dead, limits or Limits()) for held in held_by)
    # Last: what it had in hand is found by that list. Left in it, a restart of Redis would wait for its word.
    ledger.orphans.remove_worker(death.worker, death.queue)
    return count


def _return(
    ledger: Ledger,
    held: Reservation,
    death: Death,
    overrides: Overrides,
    on_dead: Callable[[Reservation], None],
    limits: Limits,
) -> bool:
    job = ledger.jobs.job(held.job_id)
    if job is None:
        return False
    # A worker killed for memory says as much about the job as a child would.
    cause: Cause = "host_oom" if death.was_oom and held.state == "running" else "worker_lost"
    usage = held.usage or Usage()
    most = largest(ledger.reports.live(), limits) if cause in RAN_OUT_OF else {}
    then = after_failure(
        cause, job.failures, overrides(job), raised=raised(cause, job.job_class, usage, most)
    )
    peak = f" (it held {size(usage.rss_mib << 20)})" if death.was_oom and usage.rss_mib is not None else ""
    because = f"; {then.because}" if isinstance(then, Dead) and then.because else ""
    message = f"{death.message}{peak}{because}"
    if not ledger.orphans.rescue(held.job_id, held.attempt, message, then, cause):
        return False
    where = "back to the backlog" if isinstance(then, Retry) else "to the dead letter"
    if not isinstance(then, Retry):
        on_dead(held)
    about = subject_of_line(job.line, held.task)
    emit_event("job.rescued", "Rescued {about} ({}, {}): {error}; {then}", held.job_id[:SHORT_ID],
               named(held.attempt), job_id=held.job_id, attempt=held.attempt, task=held.task, lane=held.lane,
               about=about, cause=cause, error=message, then=where)  # fmt: skip
    return True


def _put_back(ledger: Ledger, held: Reservation) -> bool:
    """It costs the job nothing."""
    if not ledger.orphans.rescue(held.job_id, held.attempt, TOLD, Retry(is_free=True)):
        return False
    about = subject_of_line(ledger.jobs.lines([held.job_id]).get(held.job_id, b""), held.task)
    emit_event("job.returned", "{about} ({}, {}) goes back to the backlog: {why}", held.job_id[:SHORT_ID],
               named(held.attempt), job_id=held.job_id, attempt=held.attempt, task=held.task, about=about,
               why=TOLD)  # fmt: skip
    return True


def return_leftover(ledger: Ledger, receipts_dir: Path, node: str) -> None:
    """What a node that had to be killed, workers and all, would have done at its end.

    Raises `Unreachable`, `OSError`."""
    for _ in settle_all(ledger, receipts_dir, node):
        pass
    for held in ledger.handover.reservations():
        if held.node == node:
            _put_back(ledger, held)
            if held.worker is not None:
                ledger.orphans.remove_worker(held.worker, held.queue)
    ledger.reports.withdraw(node)


def give_back(ledger: Ledger, node: str, served: Collection[str], message: str) -> int:
    """Return what was handed to queues of this node that no worker serves, started by nobody; how many. It
    costs the jobs nothing.

    `served`: the queues that do have workers. Call it when the others' workers take no more.
    """
    idle = [
        r
        for r in ledger.handover.reservations()
        if r.node == node and r.state == "admitted" and r.worker is None and r.queue not in served
    ]
    count = sum(ledger.orphans.give_back(r.job_id, r.attempt) for r in idle)
    if count:
        words = "Gave back {jobs} jobs that nobody here had started: {why}"
        emit_event("jobs.returned", words, jobs=count, node=node, why=message)
    return count


def retry_tables(catalogue: Mapping[str, TaskDecl]) -> Overrides:
    """The retry table of a job: its line's over its task's."""

    def overrides(job: JobView) -> Mapping[Cause, int]:
        try:
            spec = from_line(job.line)
        except msgspec.DecodeError:
            return {}  # a line nobody can read has no table of its own; its attempt says so
        decl = catalogue.get(spec.task)
        return resolve(spec, decl).retry if decl else spec.retry or {}

    return overrides
