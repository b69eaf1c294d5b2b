"""Done work, made again: `conductor redo`."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_here, one_job, show
from conductor.base.text import numbered

if TYPE_CHECKING:
    from conductor.recovery.redo import Redone
    from conductor.recovery.redo_selection import RedoChoice


def register(app: typer.Typer) -> None:
    app.command()(redo)


def redo(
    job: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]…", help="Ids, or their first letters.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Every job of this task that is done.")
    ] = None,
    older_code: Annotated[
        bool, typer.Option("--older-code", help="Those whose task's code was another one than it is now.")
    ] = False,
    no_receipt: Annotated[
        bool, typer.Option("--no-receipt", help="Those that Redis has as done and no receipt on disk proves.")
    ] = False,
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="Also what is done and came after them, however far.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make done jobs again: first it says which, and asks.

    Their receipts are taken back, and what they published goes to .tmp/aside of its root, where nobody
    removes it. Exit 1 where you answer no.

    \b
    Example: conductor redo k3v7
    Example: conductor redo --older-code --task my.count
    """
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.recovery.redo_selection import RedoWish, choose, sentences
    from conductor.recovery.redo_selection import redo as make_again
    from conductor.tick.breakers import codes_of

    if bool(job) == bool(task or older_code or no_receipt) or (no_receipt and (task or older_code)):
        raise typer.BadParameter("give JOBs, or --task NAME and/or --older-code, or --no-receipt")
    with ledger_here() as (settings, ledger):
        codes = codes_of(catalogue_of(settings.for_code))
        if task is not None and task not in codes:
            raise UsageError(f"no task is named {task!r}{did_you_mean(task, codes)}")
        views = [one_job(ledger, prefix) for prefix in job or ()]
        for view in views:
            if view.state != "done":
                raise UsageError(
                    f"{view.job_id} is {view.state}, not done: `conductor retry` sends back what is dead"
                )
        wish = RedoWish(
            ids=frozenset(view.job_id for view in views),
            task=task,
            is_older=older_code,
            is_unproved=no_receipt,
            has_dependants=with_dependents,
        )
        choice = choose(ledger, settings.layout, wish, codes)
        if not as_json:
            show(sentences(choice))
        if not choice.jobs:
            said(as_json, choice, None)
            return
        agree(yes, as_json, choice)
        redone = make_again(ledger, settings.layout, choice)
        ledger.bell.ring()
    said(as_json, choice, redone)


def agree(is_sure: bool, as_json: bool, choice: RedoChoice) -> None:
    """Ask; where nobody can be asked, raises `UsageError`."""
    from conductor.base.errors import UsageError

    if is_sure:
        return
    if as_json or not sys.stdin.isatty():
        if as_json:
            said(as_json, choice, None)
        raise UsageError("nothing was sent back: --yes makes them again")
    if not typer.confirm("make them again?"):
        raise typer.Exit(1)


def said(as_json: bool, choice: RedoChoice, redone: Redone | None) -> None:
    if as_json:
        emit(
            {
                **choice.to_json(),
                "sent_back": redone.sent_back if redone else (),
                "aside": redone.aside if redone else (),
            }
        )
    elif redone is not None:
        typer.echo("; ".join((waiting_again(redone.sent_back), *set_aside(redone.aside))))


def waiting_again(job_ids: Collection[str]) -> str:
    return numbered(len(job_ids), "job is waiting again", "jobs are waiting again")


def set_aside(files: Collection[str]) -> tuple[str, ...]:
    """Nothing where no file was."""
    where = "in .tmp/aside of their root"
    sentence = numbered(len(files), f"file of theirs lies {where}", f"files of theirs lie {where}")
    return (sentence,) if files else ()
