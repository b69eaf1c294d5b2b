"""`conductor smoke`: how fast is what runs here, today and against the last time."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from conductor.app.cli.context import AsJson, emit, ledger_here, show


def register(app: typer.Typer) -> None:
    app.command()(smoke)


def smoke(
    transport: Annotated[
        Literal["cli", "http"], typer.Option(help="How the jobs are handed in and looked at.")
    ] = "cli",
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, max=10_000, help="So many.")] = 50,
    limit_s: Annotated[
        float, typer.Option("--within", metavar="SECONDS", min=1.0, max=3600.0, help="They have so long.")
    ] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Measure a small run against what is up: handing in, first admission, throughput, end, verify.

    The jobs have no effect; they are of a backlog of their own (backlog:smoke), and what does not end is
    cancelled. The figures are kept under benchmarks/smoke/ with commit and host, and compared with the last
    of their kind.

    Example: conductor smoke --transport http
    """
    import time
    from contextlib import ExitStack

    from conductor.analysis.smoke.record import keep, last, lines, record_of
    from conductor.analysis.smoke.run import smoke as run
    from conductor.app.smoke_doors import CommandDoor, HttpDoor
    from conductor.base.errors import Unreachable
    from conductor.client import Client

    with ledger_here() as (settings, ledger), ExitStack() as stack:
        if ledger.leadership.leader() is None or not ledger.reports.live():
            raise Unreachable("nothing is up that could run anything: `conductor up --detach` first")
        stamp = time.strftime("%Y%m%dT%H%M%S") + f"-{time.time_ns() % 1_000_000:06}"
        manifest = settings.state_dir / "smoke" / f"{stamp}.jsonl"
        if transport == "http":
            client = stack.enter_context(Client.here(settings.project))
            door = HttpDoor(ledger, settings.project, manifest, client)
        else:
            door = CommandDoor(ledger, settings.project, manifest)
        record = record_of(run(door, jobs, stamp, limit_s), transport, settings.project)
    before = last(settings.project, record)
    file = keep(record, settings.project)
    if as_json:
        emit({"record": record, "before": before, "file": str(file)})
        return
    show(lines(record, before))
    show([f"kept in {file.relative_to(settings.project)}"], err=True)
