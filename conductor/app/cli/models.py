"""`conductor models`: the models of conductor.toml, and whether they are what it says."""

from __future__ import annotations

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show


def register(app: typer.Typer) -> None:
    app.command()(models)


def models(as_json: AsJson = False) -> None:
    """The models that conductor.toml names, with their sha256. Exits with 1 when one is another one.

    Example: conductor models
    """
    from conductor.views.model_list import lines, model_list

    found = model_list(settings_here().for_code)
    if as_json:
        emit(found)
    else:
        show(lines(found))
    if any(row.fault for row in found):
        raise typer.Exit(1)
