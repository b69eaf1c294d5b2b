"""The operator's word on one job, from whatever door it comes: ledger, journal, bell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from conductor.base.errors import UsageError
from conductor.base.logs.events import tell_event
from conductor.base.redis_keys import BACKLOG
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.dispatch.dead_ends import keeper_of
from conductor.model.causes import CAUSES, Cause
from conductor.model.ledger_entries import FAILED_BY_OPERATOR, JobState, JobView
from conductor.model.spec import Lane, Value
from conductor.model.subject import SHORT_ID, called, subject_of_line
from conductor.ports import Ledger
from conductor.record.journal import Journal

#: States in which there is something to take out.
GOING = ("waiting", "admitted", "running", "review")
JobCommand = Literal["cancel", "fail", "requeue", "retry"]
JOB_COMMANDS: tuple[JobCommand, ...] = get_args(JobCommand)


class CommandTaken(Value, frozen=True, kw_only=True):
    """`was`: the state it had. Not taken: it had ended already, or is what it is asked to be."""

    job_id: str
    was: JobState | None
    is_taken: bool
    #: Why it was not.
    kept: str = ""


def take_command(
    ledger: Ledger, receipts_dir: Path, view: JobView, word: JobCommand, cause: Cause = "task_error"
) -> CommandTaken:
    """`cause`: what a job that is failed counts as. Raises `Unreachable`."""
    journal, job_id = Journal(receipts_dir), view.job_id
    if word == "retry":
        taken = _retry(ledger, journal, view)
    elif word == "cancel":
        was = ledger.commands.cancel(job_id)
        if was in (*GOING, "dead"):
            journal.operator("cancelled", {job_id: view.attempts})
        taken = CommandTaken(job_id=job_id, was=was, is_taken=was in (*GOING, "dead"))
        if was in (*GOING, "dead"):
            _tell_cancelled(ledger, view, was)
    elif word == "fail":
        was = ledger.commands.fail(job_id, cause, FAILED_BY_OPERATOR)
        if was in GOING:
            # A rebuilt ledger leaves it out as well; what it knows of that is «cancelled».
            journal.operator("cancelled", {job_id: view.attempts}, cause)
        taken = CommandTaken(job_id=job_id, was=was, is_taken=was in GOING)
    else:
        was = ledger.commands.requeue(job_id)
        if was in ("waiting", "admitted", "running"):
            journal.requeued({job_id: view.attempts}, was)
        # Out of review leads `retry`, with its failures forgotten.
        taken = CommandTaken(job_id=job_id, was=was, is_taken=was in GOING and was != "review")
    ledger.bell.ring()
    return taken


def _tell_cancelled(ledger: Ledger, view: JobView, was: JobState) -> None:
    task = view.job_class.task
    tell_event(ledger.events.append, "job.cancelled", "Cancelled: {about} ({}), which was {state}",
               view.job_id[:SHORT_ID], job_id=view.job_id, about=subject_of_line(view.line, task), task=task,
               state=was)  # fmt: skip


def set_lane_paused(ledger: Ledger, receipts_dir: Path, lane: Lane, is_paused: bool) -> bool:
    """Whether it was paused before. Raises `Unreachable`."""
    was_paused = lane in ledger.control.controls().paused_lanes
    ledger.control.set_paused(lane, is_paused)
    ledger.bell.ring()
    # Second: a lane is paused also where the disk is full.
    Journal(receipts_dir).place("paused" if is_paused else "resumed", lane, 0)
    return was_paused


class BacklogPaused(Value, frozen=True, kw_only=True):
    backlog: str
    is_paused: bool
    was_paused: bool


def known_backlogs(ledger: Ledger) -> list[str]:
    """Those that hold or held a job, and those that are paused. Raises `Unreachable`."""
    return sorted({*ledger.tallies.backlogs(), *ledger.control.controls().paused_backlogs})


def set_backlog_paused(ledger: Ledger, receipts_dir: Path, backlog: str, is_paused: bool) -> bool:
    """Whether it was paused before. Raises `Unreachable`."""
    was_paused = backlog in ledger.control.controls().paused_backlogs
    ledger.control.set_backlog_paused(backlog, is_paused)
    ledger.bell.ring()
    # Second: a backlog is paused also where the disk is full.
    Journal(receipts_dir).place("paused" if is_paused else "resumed", f"{BACKLOG}{backlog}", 0)
    return was_paused


def set_device_paused(ledger: Ledger, receipts_dir: Path, place: str, is_paused: bool) -> None:
    """`place`: «node1/gpu0». Raises `Unreachable`."""
    number = ledger.control.set_device_paused(place, is_paused)
    ledger.bell.ring()
    # Second: a device is paused also where the disk is full.
    Journal(receipts_dir).place("paused" if is_paused else "resumed", place, number)


def _retry(ledger: Ledger, journal: Journal, view: JobView) -> CommandTaken:
    if view.is_shown:
        return CommandTaken(job_id=view.job_id, was=view.state, is_taken=False, kept=shown_words(view))
    if view.state == "review":
        # First, or what comes back is set aside again at once.
        ledger.kinds.resume(view.job_class.kind)
    if ledger.commands.retry(view.job_id):
        journal.operator("retried", {view.job_id: view.attempts})
        return CommandTaken(job_id=view.job_id, was=view.state, is_taken=True)
    kept = next(kept_by(ledger, (view,)), "")
    return CommandTaken(job_id=view.job_id, was=view.state, is_taken=False, kept=kept)


def _called(view: JobView) -> str:
    return called(view.job_id, view.line, view.job_class.task)


def shown_words(view: JobView) -> str:
    which = view.job_id[:12]
    return (
        f"{_called(view)} waits for a person's verdict: `conductor review accept {which}`, or "
        f"`conductor review reject {which}`, and then retry"
    )


def kept_by(ledger: Ledger, jobs: Iterable[JobView]) -> Iterator[str]:
    """Of each that was not sent back, why, and which one is to be sent back instead."""
    for job in jobs:
        now = ledger.jobs.job(job.job_id) or job
        if now.is_shown:
            yield shown_words(now)
        elif now.state not in ("dead", "cancelled", "review"):
            if now.state == job.state:
                yield f"{_called(now)} is {now.state}"
        elif (keeper := keeper_of(ledger, now)) is not None:
            why = f" ({keeper.cause}: {keeper.message})" if keeper.cause else ""
            state = "in review" if keeper.state == "review" else keeper.state
            # One that was cancelled itself stays so.
            then = "goes first" if now.state == "cancelled" else "brings back both"
            yield (
                f"{_called(now)} comes after {_called(keeper)}, which is {state}{why}: "
                f"`conductor retry {keeper.job_id[:8]}` {then}"
            )


def known_cause(word: str) -> Cause:
    """Raises `UsageError` for a word that is no cause."""
    for cause in CAUSES:
        if cause == word:
            return cause
    raise UsageError(f"{word} is no cause{did_you_mean(word, CAUSES)}. There are: {', '.join(CAUSES)}")


def cause_of_a_fault(word: str) -> Cause:
    """Raises `UsageError` also for what is no fault of the job: it would count, and come back, as what it
    is not.
    """
    known = known_cause(word)
    if known in ("cancelled", "dependency_dead"):
        how = "conductor cancel JOB" if known == "cancelled" else "they die with the job that they come after"
        raise UsageError(f"{known} is no fault of a job: {how}")
    return known
