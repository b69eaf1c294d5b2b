"""The operator's word on jobs: cancel, fail, requeue, retry. On one, or on those that a filter means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.bulk import JobOrFilter, Sure, act_by_filter, one_id
from conductor.app.cli.context import AsJson, answer, ledger_here, one_job
from conductor.app.cli.redo import set_aside, waiting_again
from conductor.base.text import numbered

if TYPE_CHECKING:
    from conductor.model.ledger_entries import JobView
    from conductor.ports import Ledger
    from conductor.recovery.operator_commands import CommandTaken


def register(app: typer.Typer) -> None:
    for command in (cancel, fail, requeue, retry):
        app.command()(command)


def cancel(words: JobOrFilter = None, is_sure: Sure = False, as_json: AsJson = False) -> None:
    """Take a job out; if it runs, it is stopped. A dead one is given up: no run is called unfinished for its
    sake.

    Or all that a filter means (as of `conductor jobs`): how many is said first. `conductor retry` sends them
    back. Exit 1 where it had ended already.

    Examples: conductor cancel k3v7; conductor cancel state:waiting backlog:night file:clip7
    """
    from conductor.recovery.operator_commands import take_command

    if (job := one_id(words)) is None:
        act_by_filter("cancel", words, is_sure, as_json)
        return

    with ledger_here() as (settings, ledger):
        view = one_job(ledger, job)
        taken = take_command(ledger, settings.receipts_dir, view, "cancel")
    said(as_json, view, taken, "cancelled", "being stopped")


def fail(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    cause: Annotated[
        str, typer.Option(metavar="CAUSE", help="What it is to count as: task_error, stalled, bad_input, …")
    ] = "task_error",
    as_json: AsJson = False,
) -> None:
    """Send a job to the dead letter; if it runs, it is stopped.

    Jobs that come after it die with it. `conductor retry JOB` sends it back. Exit 1 where it had ended
    already.

    Examples: conductor fail k3v7; conductor fail k3v7 --cause bad_input
    """
    from conductor.recovery.operator_commands import cause_of_a_fault, take_command

    with ledger_here() as (settings, ledger):
        known, view = cause_of_a_fault(cause), one_job(ledger, job)
        taken = take_command(ledger, settings.receipts_dir, view, "fail", known)
    said(as_json, view, taken, "dead", "being stopped, and then dead")


def requeue(words: JobOrFilter = None, is_sure: Sure = False, as_json: AsJson = False) -> None:
    """Take a job from its worker and put it back, at no cost to its retries.

    One that waits out a back-off goes at once. Or all that a filter means (as of `conductor jobs`): how many
    is said first. Exit 1 where it had ended already, or waits as it is.

    Examples: conductor requeue k3v7; conductor requeue state:running node:studio2
    """
    from conductor.recovery.operator_commands import take_command

    if (job := one_id(words)) is None:
        act_by_filter("requeue", words, is_sure, as_json)
        return

    with ledger_here() as (settings, ledger):
        view = one_job(ledger, job)
        taken = take_command(ledger, settings.receipts_dir, view, "requeue")
    said(as_json, view, taken, "waiting", "being stopped, and then waits again")


def said(as_json: bool, view: JobView, taken: CommandTaken, now: str, later: str) -> None:
    """Exit 1 where the job had ended already, or is what it is asked to be."""
    from conductor.model.subject import called

    about = called(view.job_id, view.line, view.job_class.task)
    word = f"{about}: was {taken.was}, is {later if taken.was == 'running' else now}"
    answer(as_json, taken, word if taken.is_taken else f"{about} is {taken.was}")
    if not taken.is_taken:
        raise typer.Exit(1)


def retry(
    words: JobOrFilter = None,
    cause: Annotated[
        str | None,
        typer.Option(
            metavar="CAUSE",
            help="Every dead job with this cause: no_space, server_error, …; review: every job in review.",
        ),
    ] = None,
    missing: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST", help="Its done jobs whose outputs are missing or altered are made again."
        ),
    ] = None,
    is_sure: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Send dead or cancelled jobs, or those in review, back to the backlog.

    Their failures are forgotten; jobs that died for their sake come along. One JOB, or all that a filter
    means (as of `conductor jobs`): how many is said first.

    Exit 1 where the JOB is not sent back, or one of the MANIFEST is in no backlog.

    Examples: conductor retry k3v7; conductor retry state:dead cause:timeout since:18:00; conductor retry
    --cause review; conductor retry --missing manifests/night.jsonl
    """
    job = one_id(words)
    if [words or None, cause, missing].count(None) != 2:
        raise typer.BadParameter("give a JOB or a filter, or --cause CAUSE, or --missing MANIFEST")
    if words and job is None:
        act_by_filter("retry", words, is_sure, as_json)
        return
    if missing is not None:
        retry_missing(missing, as_json)
        return
    from conductor.record.journal import Journal
    from conductor.recovery.operator_commands import kept_by

    with ledger_here() as (settings, ledger):
        wanted = (one_job(ledger, job),) if job is not None else dead_of(ledger, cause or "")
        # First, or what comes back is set aside again at once.
        for kind in {view.job_class.kind for view in wanted if view.state == "review" and not view.is_shown}:
            ledger.kinds.resume(kind)
        attempts = {view.job_id: view.attempts for view in wanted if ledger.commands.retry(view.job_id)}
        sent = list(attempts)
        Journal(settings.receipts_dir).operator("retried", attempts)
        ledger.bell.ring()
        kept = next(kept_by(ledger, (view for view in wanted if view.job_id not in attempts)), "")
    sentence = "; ".join(word for word in (waiting_again(sent), kept) if word)
    answer(as_json, {"sent_back": sent, "kept": kept}, sentence)
    if job is not None and not sent:
        raise typer.Exit(1)


def retry_missing(manifest: Path, as_json: bool) -> None:
    """Exit 1 when some of them are in no backlog."""
    from conductor.recovery.redo import redo_missing

    with ledger_here() as (settings, ledger):
        redone = redo_missing(ledger, manifest, settings.layout)
        ledger.bell.ring()
    words = [waiting_again(redone.sent_back)]
    if count := len(redone.not_done):
        words.append(numbered(count, "was not done before either", "were not done before either"))
    words += set_aside(redone.aside)
    if count := len(redone.unknown):
        words.append(f"{numbered(count, 'is', 'are')} in no backlog: `conductor dispatch {manifest}`")
    answer(as_json, redone, "; ".join(words))
    if redone.unknown:
        raise typer.Exit(1)


def dead_of(ledger: Ledger, cause: str) -> tuple[JobView, ...]:
    """The dead jobs of a cause; for `cancelled` those that were cancelled, for `review` those that are set
    aside.

    Raises `UsageError` for no cause."""
    from conductor.recovery.operator_commands import known_cause

    if cause == "review":
        reviewed = (ledger.jobs.job(job_id) for job_id in tuple(ledger.jobs.ids("review")))
        return tuple(
            view for view in reviewed if view is not None and view.state == "review" and not view.is_shown
        )
    known = known_cause(cause)
    ids = tuple(ledger.jobs.ids("cancelled" if known == "cancelled" else "dead"))
    views = (ledger.jobs.job(job_id) for job_id in ids)
    return tuple(
        view for view in views if view is not None and (view.state == "cancelled" or view.cause == known)
    )
