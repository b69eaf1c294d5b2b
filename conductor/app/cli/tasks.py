"""`conductor tasks`: what may run, and what becomes of its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_to_read, settings_here, show

if TYPE_CHECKING:
    from conductor.model.report import NodeReport


def register(app: typer.Typer) -> None:
    app.command()(tasks)


def tasks(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="Everything about one. Default: a row for each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The registered tasks: lane, needs, retry table, which nodes have them, where they come from.

    Example: conductor tasks media.cut
    """
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.views.task_list import details, lines, of_one, task_list

    catalogue = catalogue_of(settings_here(begins=True).for_code)
    found = task_list(catalogue, _reports())
    row = None if task is None else of_one(found, task)
    if as_json:
        emit(found if row is None else row)
    else:
        show(lines(found) if row is None else details(row))


def _reports() -> tuple[NodeReport, ...] | None:
    """None where Redis does not answer: what is registered is known without it."""
    from conductor.base.errors import Unreachable

    try:
        with ledger_to_read(begins=True) as (_, ledger):
            return tuple(ledger.reports.live())
    except Unreachable:
        return None
