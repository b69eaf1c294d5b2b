"""`conductor exec`: one attempt, in this process, wherever it is."""

from __future__ import annotations

from typing import Annotated

import typer

from conductor.app.cli.context import ledger_here, one_job


def register(app: typer.Typer) -> None:
    app.command("exec")(execute)


def execute(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    attempt: Annotated[int, typer.Option(min=1, help="The number that this attempt was admitted under.")],
) -> None:
    """Run one attempt here, publish what it makes and write its receipt.

    For schedulers that place single jobs, and for a person who wants to see one run. It takes the attempt's
    lease: a worker that has it already keeps it, and nothing runs twice. Exit 0 where it ended well, 1 where
    it failed or it is not its turn.

    Example: conductor exec k3v7abcd --attempt 1
    """
    import os
    import sys

    from conductor.base.errors import ConductorError

    with ledger_here() as (settings, ledger):
        view = one_job(ledger, job)
        held = view.reservation
        if held is None or held.attempt != attempt or view.state != "admitted":
            at = f", attempt {view.attempts}" if view.attempts else ""
            raise ConductorError(
                f"it is not the turn of attempt {attempt} of {view.job_id}: the job is {view.state}{at}"
            )
        words = ["--exec", view.job_id, "--attempt", str(attempt)]
    # This process becomes the worker: what a scheduler sends to stop it reaches the body's keeper itself.
    os.environ["CONDUCTOR_PROJECT"] = str(settings.project)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers", *words])
