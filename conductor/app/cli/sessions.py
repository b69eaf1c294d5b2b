"""`conductor sessions`: parameters of a plan under a handle that expires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show
from conductor.app.cli.frame import CommandGroup

if TYPE_CHECKING:
    from conductor.record.plan_sessions import PlanSession

sessions_app = typer.Typer(
    cls=CommandGroup,
    help="Parameters of a plan under a handle that expires: for one run after another with the same ones.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    sessions_app.command("open", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        open_session
    )
    sessions_app.command()(dump)
    sessions_app.command("prune-stale")(prune_stale)
    app.add_typer(sessions_app, name="sessions")


def open_session(
    context: typer.Context,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Whose plan it is.")],
    lasts: Annotated[
        float, typer.Option("--for-hours", min=0.001, max=24 * 366, help="When it expires.")
    ] = 24.0,
) -> None:
    """Keep the options of a plan under a handle, which `conductor plan WORKFLOW --session HANDLE` takes.

    The options are tried first: they are refused here as the plan would refuse them.

    Example: conductor sessions open population --people 10000 --seed 7
    """
    import time

    from conductor.app.workflow_lookup import checked_options
    from conductor.base.operator_name import operator_name
    from conductor.record.journal import Journal
    from conductor.record.plan_sessions import PlanSessions

    settings = settings_here(begins=True)
    checked_options(workflow, context.args, settings.for_code)
    session = PlanSessions(settings.state_dir).open(
        workflow, context.args, operator_name(), lasts * 3600, time.time()
    )
    Journal(settings.receipts_dir).acted("open session", session.who, said(session), 0)
    typer.echo(session.handle)


def dump(as_json: AsJson = False) -> None:
    """All sessions that are kept, also those that have expired.

    Example: conductor sessions dump --json
    """
    import time

    from conductor.record.plan_sessions import PlanSessions

    found = PlanSessions(settings_here().state_dir).all()
    if as_json:
        emit(found)
    else:
        show([line_of(session, time.time()) for session in found] or ["no session"])


def prune_stale(as_json: AsJson = False) -> None:
    """Remove the sessions that have expired.

    Example: conductor sessions prune-stale
    """
    import time

    from conductor.base.text import many
    from conductor.record.plan_sessions import PlanSessions

    gone = PlanSessions(settings_here().state_dir).prune(time.time())
    if as_json:
        emit(gone)
    else:
        show([*(line_of(session, time.time()) for session in gone), f"{many(len(gone), 'session')} removed"])


def line_of(session: PlanSession, now: float) -> str:
    from conductor.base.text import duration, printable

    left_s = session.expires_at - now
    until = f"expires in {duration(left_s)}" if left_s > 0 else f"expired {duration(-left_s)} ago"
    return printable(f"{session.handle}  {until}, opened by {session.who}: {said(session)}")


def said(session: PlanSession) -> str:
    import shlex

    from conductor.base.secrets import scrub

    return scrub(shlex.join((session.plan, *session.arguments)))
