"""`conductor run` (the whole way in one) and `conductor init` (a project to begin with)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import settings_here
from conductor.app.cli.flow import conduct, dispatch, verify

if TYPE_CHECKING:
    from conductor.base.files.layout import OwnServer


def register(app: typer.Typer) -> None:
    pass_on = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
    app.command(context_settings=pass_on)(run)
    app.command()(init)


def run(
    context: typer.Context,
    workflow: Annotated[
        str, typer.Argument(metavar="WORKFLOW", help="One of those installed, or of your workflows/.")
    ],
) -> None:
    """Plan, dispatch, conduct and verify a workflow in one.

    What the four commands say stands one after the other, and each can be given again by itself: called
    twice, this goes on where it was broken off, and does nothing that is done. Exit 0 only where every job of
    the plan is verified.

    \b
    The workflow's own options come behind its name:  conductor plan WORKFLOW --help
    Example:  conductor run system_test --mode backlog --count 50
    """
    raise typer.Exit(run_workflow(workflow, context.args))


def run_workflow(workflow: str, argv: Sequence[str]) -> int:
    """→ exit code."""
    from conductor.app import workflow_lookup
    from conductor.app.early_copy import ALL, closing_copies, import_all, keep_copy, prepare_copy
    from conductor.dispatch.dispatch import default_backlog
    from conductor.planning import planned

    settings = settings_here(begins=True)
    # Of what follows, and of a node: before the plan, whose code is the project's own and none of a node's.
    import_all(ALL)
    keep_copy("node")
    with closing_copies():
        path, jobs = workflow_lookup.plan(workflow, argv, settings.for_code)
        typer.echo(planned(path, jobs))
        if not jobs:
            return 1
        with server_held(settings.valkey):
            if code := code_of(lambda: dispatch(path)):
                return code
            prepare_copy("node")
            conducted = code_of(lambda: conduct(f"backlog:{default_backlog(path)}", until_done=True))
    # Of what a run left undone `verify` says more. Who pressed Ctrl-C, or has no Redis, wants no more.
    if conducted not in (0, 1):
        return conducted
    return code_of(lambda: verify(path)) or conducted


def server_held(own: OwnServer) -> AbstractContextManager[object]:
    """The project's own Valkey is not ended by one command and started by the next."""
    from conductor.adapters.redis import valkey

    return valkey.session(own) if own.is_used else nullcontext()


def code_of(command: Callable[[], None]) -> int:
    """What a command ends with, whose errors stay its own."""
    try:
        command()
    except typer.Exit as e:
        return e.exit_code
    return 0


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Is made where it is not there.")] = Path(),
    workflow: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only a workflow of your own, in the project that lies there."),
    ] = None,
) -> None:
    """Make a folder a project: settings, a task of your own, a plan, and a list for it to work on.

    Nothing that lies there is written over: where one of these files is there already, nothing is made.

    With --workflow: a plan, a task and a check under that name, a page of code that runs as it is.

    Example: conductor init ~/night && cd ~/night && conductor run counted
    Example: conductor init --workflow thumbs && conductor run thumbs
    """
    from conductor.app.new_project import make_project
    from conductor.app.new_workflow import make_workflow
    from conductor.app.workflow_lookup import available
    from conductor.base.settings.settings import load

    if workflow is None:
        made = make_project(folder)
    else:
        made = make_workflow(folder, workflow, available(load(folder).for_code))
    for path in made:
        typer.echo(f"made {path}")
    cd = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    typer.echo(f"next: {cd}conductor run {workflow or 'counted'}")
