"""`conductor workers`: who is there, what each has in hand, and whether each answers."""

from __future__ import annotations

from typing import Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_to_read, show


def register(app: typer.Typer) -> None:
    app.command()(workers)


def workers(
    ping: Annotated[bool, typer.Option("--ping", help="Ask each for an answer.")] = False,
    limit_s: Annotated[
        float, typer.Option("--within", metavar="SECONDS", min=0.1, max=600.0, help="All have so long.")
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """The workers: lane, device, since when, what each has in hand, its last word, memory.

    With --ping each is asked for an answer, which only a worker gives whose loop turns; exit 1 where one does
    not.

    Example: conductor workers --ping
    """
    import time

    from conductor.views.worker_list import lines, pinged, worker_list

    with ledger_to_read() as (_, ledger):
        found = pinged(ledger, limit_s, time.sleep) if ping else worker_list(ledger)
    if as_json:
        emit(found)
    else:
        show(lines(found))
    if found.silent:
        raise typer.Exit(1)
