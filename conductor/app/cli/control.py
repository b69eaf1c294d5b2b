"""The operator's word on jobs: cancel, fail, requeue, retry. Each is one atomic step in the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, answer, ledger_here, one_job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conductor.model.causes import Cause
    from conductor.model.ledger_entries import JobView
    from conductor.ports import Ledger


#: States in which there is something to take out.
GOING = ("waiting", "admitted", "running", "review")


def register(app: typer.Typer) -> None:
    for command in (cancel, fail, requeue, retry):
        app.command()(command)


def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    as_json: AsJson = False,
) -> None:
    """Take a job out; if it runs, it is stopped. A dead one is given up: no run is called unfinished for its
    sake.

    `conductor retry JOB` sends it back. Exit 1 where it had ended already.

    Example: conductor cancel k3v7
    """
    from conductor.record.journal import Journal

    with ledger_here() as (settings, ledger):
        view = one_job(ledger, job)
        job_id = view.job_id
        was = ledger.commands.cancel(job_id)
        if was in (*GOING, "dead"):
            Journal(settings.receipts_dir).operator("cancelled", {job_id: view.attempts})
        ledger.bell.ring()
    said(as_json, job_id, was, "cancelled", "being stopped")


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
    from conductor.model.ledger_entries import FAILED_BY_OPERATOR
    from conductor.record.journal import Journal

    with ledger_here() as (settings, ledger):
        known, view = cause_of_a_fault(cause), one_job(ledger, job)
        was = ledger.commands.fail(view.job_id, known, FAILED_BY_OPERATOR)
        if was in GOING:
            # A rebuilt ledger leaves it out as well; what it knows of that is «cancelled».
            Journal(settings.receipts_dir).operator("cancelled", {view.job_id: view.attempts}, known)
        ledger.bell.ring()
    said(as_json, view.job_id, was, "dead", "being stopped, and then dead")


def requeue(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    as_json: AsJson = False,
) -> None:
    """Take a job from its worker and put it back, at no cost to its retries.

    One that waits out a back-off goes at once. Exit 1 where it had ended already, or waits as it is.

    Example: conductor requeue k3v7
    """
    from conductor.record.journal import Journal

    with ledger_here() as (settings, ledger):
        view = one_job(ledger, job)
        job_id = view.job_id
        was = ledger.commands.requeue(job_id)
        if was in ("waiting", "admitted", "running"):
            Journal(settings.receipts_dir).requeued(job_id, view.attempts, was)
        ledger.bell.ring()
    said(as_json, job_id, was, "waiting", "being stopped, and then waits again")


def said(as_json: bool, job_id: str, was: str | None, now: str, later: str) -> None:
    """Exit 1 where the job had ended already, or is what it is asked to be."""
    # Out of review leads `retry`, with its failures forgotten.
    is_taken = (was in GOING and not (was == "review" and now == "waiting")) or (was, now) == (
        "dead",
        "cancelled",
    )
    word = f"{job_id}: was {was}, is {later if was == 'running' else now}"
    answer(
        as_json,
        {"job_id": job_id, "was": was, "is_taken": is_taken},
        word if is_taken else f"{job_id} is {was}",
    )
    if not is_taken:
        raise typer.Exit(1)


def retry(
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="Its id, or the first letters of it.")
    ] = None,
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
    as_json: AsJson = False,
) -> None:
    """Send dead or cancelled jobs, or those in review, back to the backlog.

    Their failures are forgotten; jobs that died for their sake come along.

    Exit 1 where the JOB is not sent back, or one of the MANIFEST is in no backlog.

    Examples: conductor retry k3v7; conductor retry --cause review; conductor retry --missing
    manifests/night.jsonl
    """
    if [job, cause, missing].count(None) != 2:
        raise typer.BadParameter("give a JOB, or --cause CAUSE, or --missing MANIFEST")
    if missing is not None:
        retry_missing(missing, as_json)
        return
    from conductor.record.journal import Journal

    with ledger_here() as (settings, ledger):
        wanted = (one_job(ledger, job),) if job is not None else dead_of(ledger, cause or "")
        # First, or what comes back is set aside again at once.
        for kind in {view.job_class.kind for view in wanted if view.state == "review"}:
            ledger.kinds.resume(kind)
        attempts = {view.job_id: view.attempts for view in wanted if ledger.commands.retry(view.job_id)}
        sent = list(attempts)
        Journal(settings.receipts_dir).operator("retried", attempts)
        ledger.bell.ring()
        kept = next(kept_by(ledger, (view for view in wanted if view.job_id not in attempts)), "")
    plural = "job is" if len(sent) == 1 else "jobs are"
    words = "; ".join(word for word in (f"{len(sent)} {plural} waiting again", kept) if word)
    answer(as_json, {"sent_back": sent, "kept": kept}, words)
    if job is not None and not sent:
        raise typer.Exit(1)


def kept_by(ledger: Ledger, jobs: Iterable[JobView]) -> Iterator[str]:
    """Of each that was not sent back, why, and which one is to be sent back instead."""
    from conductor.dispatch.dead_ends import keeper_of

    for job in jobs:
        now = ledger.jobs.job(job.job_id) or job
        if now.state not in ("dead", "cancelled", "review"):
            if now.state == job.state:
                yield f"{job.job_id} is {now.state}"
        elif (keeper := keeper_of(ledger, now)) is not None:
            why = f" ({keeper.cause}: {keeper.message})" if keeper.cause else ""
            state = "in review" if keeper.state == "review" else keeper.state
            # One that was cancelled itself stays so.
            then = "goes first" if now.state == "cancelled" else "brings back both"
            yield (
                f"{job.job_id} comes after {keeper.job_id}, which is {state}{why}: "
                f"`conductor retry {keeper.job_id[:8]}` {then}"
            )


def retry_missing(manifest: Path, as_json: bool) -> None:
    """Exit 1 when some of them are in no backlog."""
    from conductor.recovery.redo import redo_missing

    with ledger_here() as (settings, ledger):
        redone = redo_missing(ledger, manifest, settings.layout)
        ledger.bell.ring()
    plural = "job is" if len(redone.sent_back) == 1 else "jobs are"
    words = [f"{len(redone.sent_back)} {plural} waiting again"]
    if redone.not_done:
        words.append(f"{len(redone.not_done)} were not done before either")
    if redone.aside:
        words.append(f"{len(redone.aside)} files of theirs lie in .tmp/aside of their root")
    if redone.unknown:
        words.append(f"{len(redone.unknown)} are in no backlog: `conductor dispatch {manifest}`")
    answer(as_json, redone, "; ".join(words))
    if redone.unknown:
        raise typer.Exit(1)


def known_cause(word: str) -> Cause:
    """Raises `UsageError` for a word that is no cause."""
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean
    from conductor.model.causes import CAUSES

    for cause in CAUSES:
        if cause == word:
            return cause
    raise UsageError(f"{word} is no cause{did_you_mean(word, CAUSES)}. There are: {', '.join(CAUSES)}")


def cause_of_a_fault(word: str) -> Cause:
    """Raises `UsageError` also for what is no fault of the job: it would count, and come back, as what it
    is not.
    """
    from conductor.base.errors import UsageError

    known = known_cause(word)
    if known in ("cancelled", "dependency_dead"):
        how = "conductor cancel JOB" if known == "cancelled" else "they die with the job that they come after"
        raise UsageError(f"{known} is no fault of a job: {how}")
    return known


def dead_of(ledger: Ledger, cause: str) -> tuple[JobView, ...]:
    """The dead jobs of a cause; for `cancelled` those that were cancelled, for `review` those that are set
    aside.

    Raises `UsageError` for no cause."""
    if cause == "review":
        reviewed = (ledger.jobs.job(job_id) for job_id in tuple(ledger.jobs.ids("review")))
        return tuple(view for view in reviewed if view is not None and view.state == "review")
    known = known_cause(cause)
    ids = tuple(ledger.jobs.ids("cancelled" if known == "cancelled" else "dead"))
    views = (ledger.jobs.job(job_id) for job_id in ids)
    return tuple(
        view for view in views if view is not None and (view.state == "cancelled" or view.cause == known)
    )
