"""`conductor needs`: what was learned of the jobs' needs, and from which receipts."""

from __future__ import annotations

from typing import Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_here, one_job, settings_here, show


def register(app: typer.Typer) -> None:
    app.command()(needs)


def needs(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task, or one kind of it. Default: all.")
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="TASK|JOB", help="What its attempts taught is forgotten: its lines are asked for again."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What jobs declare, what they really took, what is asked for them and why.

    With a task: the receipts each figure rests on, too. Drift is named: other code, or the last few, take
    more or less.

    With --forget, jobs whose needs an out-of-memory had raised ask what their lines say, and a task is
    learned anew. Dead ones stay dead: `conductor retry` sends them back.

    Examples: conductor needs vision.analyse; conductor needs --forget vision.analyse; conductor needs
    --forget k3v7
    """
    if forget is not None:
        if task is not None:
            raise typer.BadParameter("give a TASK to look at, or --forget TASK|JOB")
        forget_needs(forget, as_json)
        return
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.tick.learned_needs import policy_of
    from conductor.views.needs_report import gather, lines

    settings = settings_here()
    report = gather(settings.layout, policy_of(settings.learning), catalogue_of(settings.for_code), task)
    if as_json:
        emit(report)
    else:
        show(lines(report, task))


def forget_needs(name: str, as_json: bool) -> None:
    """Raises `UsageError` for what is neither a task (or kind) nor a job."""
    from conductor.base.text import many, printable
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.recovery.forget_needs import forget, raised_jobs

    with ledger_here() as (settings, ledger):
        is_task = name in catalogue_of(settings.for_code) or ":" in name
        jobs = raised_jobs(ledger, settings.receipts_dir, name) if is_task else (one_job(ledger, name),)
        found = forget(ledger, settings.receipts_dir, jobs, name if is_task else "")
    moved = [asks for asks in found if asks.changes]
    words = [f"{asks.job_id}: {', '.join(asks.changes)}" for asks in moved]
    words += [
        f"{asks.job_id} is in flight: it is asked for as planned when it waits again"
        for asks in found
        if not asks.changes
    ]
    if is_task:
        words.append(
            f"what was learned of {name} until now is forgotten; {many(len(moved), 'job')} asked "
            "for as planned"
        )
    elif not found:
        words.append(f"{name}: no failure had raised its needs; what its attempts taught is forgotten")
    if as_json:
        emit({"forgotten": name, "jobs": found})
    else:
        typer.echo("\n".join(map(printable, words)))
