"""`conductor needs`: what was learned of the jobs' needs, and from which receipts."""

from __future__ import annotations

from typing import Annotated

import typer

from conductor.commands.context import AsJson, emit, settings_here


def register(app: typer.Typer) -> None:
    app.command()(needs)


def needs(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="A task, or one kind of it. Default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """What jobs declare, what they really took, what is asked for them and why.

    With a task: the receipts each figure rests on, too. Drift is named: other code, or the last few, take more or less.

    Example: conductor needs vision.analyse
    """
    from conductor.catalogue import catalogue_of
    from conductor.views.needs import gather, lines

    settings = settings_here()
    report = gather(settings, catalogue_of(settings), task)
    if as_json:
        emit(report)
    else:
        typer.echo("\n".join(lines(report, task)))
