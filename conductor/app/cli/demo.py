"""`conductor demo`: a workflow on inputs that it makes itself, in a project of its own, with its proof."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from conductor.app.cli.context import settings_here, show
from conductor.app.cli.run import run_workflow


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    workflow: Annotated[
        str | None, typer.Argument(metavar="WORKFLOW", help="Which. Default: those that there are.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="The demo's own project. Default: demo/WORKFLOW below here."),
    ] = None,
) -> None:
    """Run a workflow on inputs that it makes itself, offline, in a project of its own.

    Nothing of the current folder is touched. Called again it does what is left, and proves the rest anew.

    Example: conductor demo population
    """
    from conductor.app import demo_project

    settings = settings_here(begins=True).for_code
    if workflow is None:
        show(demo_project.listed(settings))
        return
    place = (folder or Path("demo") / workflow).resolve()
    with demo_project.staged(workflow, place, settings) as argv:
        # Every process of the demo, the workers too, finds its project by this.
        os.environ["CONDUCTOR_PROJECT"] = str(place)
        code = run_workflow(workflow, argv)
    typer.echo(f"look around: cd {place} && conductor status")
    raise typer.Exit(code)
