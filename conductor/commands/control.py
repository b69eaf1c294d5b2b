"""The operator's word: pause, resume, drain, cancel, retry. Each is one atomic step in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from conductor.commands.context import AsJson, emit, ledger_here, one_job

if TYPE_CHECKING:
    from conductor.ports import JobView, Ledger


#: As `conductor.model.spec.Lane`, which would cost `--help` the import of msgspec.
LaneName = Literal["gpu", "cpu", "io", "cloud"]
LaneArgument = Annotated[LaneName, typer.Argument(metavar="LANE", help="gpu, cpu, io or cloud.")]


def register(app: typer.Typer) -> None:
    for command in (pause, resume, drain, cancel, retry):
        app.command()(command)


def pause(lane: LaneArgument, as_json: AsJson = False) -> None:
    """Stop feeding a lane; what runs is finished.

    Example: conductor pause gpu
    """
    set_paused(lane, True, as_json)


def resume(lane: LaneArgument, as_json: AsJson = False) -> None:
    """Feed a paused lane again.

    Example: conductor resume gpu
    """
    set_paused(lane, False, as_json)


def set_paused(lane: LaneName, is_paused: bool, as_json: bool) -> None:
    with ledger_here() as (_, ledger):
        ledger.control.set_paused(lane, is_paused)
        ledger.bell.ring()
    word = f"lane {lane} is paused: what runs is finished" if is_paused else f"lane {lane} is fed again"
    answer(as_json, {"lane": lane, "is_paused": is_paused}, word)


def drain(
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", help="One node; without it, all of them.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start nothing new, finish what runs. Before a reboot.

    Examples: conductor drain; conductor drain studio2; conductor drain --undo
    """
    with ledger_here() as (_, ledger):
        ledger.control.set_draining(not undo, node)
        ledger.bell.ring()
        active = sum(node in (None, r.node) for r in ledger.handover.reservations())
    whom = node or "every node"
    word = f"{whom} is fed again" if undo else f"{whom} drains: {active} in flight, nothing new starts"
    answer(as_json, {"node": node, "is_draining": not undo, "in_flight": active}, word)


def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    as_json: AsJson = False,
) -> None:
    """Take a job out; if it runs, it is stopped.

    `conductor retry JOB` sends it back.

    Example: conductor cancel k3v7
    """
    from conductor.journal import Journal

    with ledger_here() as (settings, ledger):
        view = one_job(ledger, job)
        job_id = view.job_id
        was = ledger.control.cancel(job_id)
        if was in ("waiting", "admitted", "running"):
            Journal(settings.receipts_dir).operator("cancelled", {job_id: view.attempts})
        ledger.bell.ring()
    is_taken = was in ("waiting", "admitted", "running")
    word = f"{job_id}: was {was}, is {'being stopped' if was == 'running' else 'cancelled'}"
    answer(as_json, {"job_id": job_id, "was": was, "is_taken": is_taken}, word if is_taken else f"{job_id} is {was}")
    if not is_taken:
        raise typer.Exit(1)


def retry(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Its id, or the first letters of it.")] = None,
    cause: Annotated[
        str | None, typer.Option(metavar="CAUSE", help="Every dead job with this cause: no_space, server_error, …")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send dead or cancelled jobs back to the backlog.

    Their failures are forgotten; jobs that died for their sake come along.

    Examples: conductor retry k3v7; conductor retry --cause no_space
    """
    if (job is None) == (cause is None):
        raise typer.BadParameter("give a JOB, or --cause CAUSE")
    from conductor.journal import Journal

    with ledger_here() as (settings, ledger):
        wanted = (one_job(ledger, job),) if job is not None else dead_of(ledger, cause or "")
        attempts = {view.job_id: view.attempts for view in wanted if ledger.control.retry(view.job_id)}
        sent = list(attempts)
        Journal(settings.receipts_dir).operator("retried", attempts)
        ledger.bell.ring()
    plural = "job is" if len(sent) == 1 else "jobs are"
    answer(as_json, {"sent_back": sent}, f"{len(sent)} {plural} waiting again")
    if job is not None and not sent:
        raise typer.Exit(1)


def dead_of(ledger: Ledger, cause: str) -> tuple[JobView, ...]:
    """The dead jobs of a cause. Raises `UsageError` for a word that is no cause."""
    from conductor.errors import UsageError
    from conductor.model.causes import CAUSES
    from conductor.settings import did_you_mean

    if cause not in CAUSES:
        raise UsageError(f"{cause} is no cause{did_you_mean(cause, CAUSES)}. There are: {', '.join(CAUSES)}")
    ids = tuple(ledger.backlog.ids("dead"))
    return tuple(view for i in ids if (view := ledger.backlog.job(i)) is not None and view.cause == cause)


def answer(as_json: bool, value: dict[str, object], sentence: str) -> None:
    from conductor.text import printable

    if as_json:
        emit(value)
    else:
        typer.echo(printable(sentence))
