"""The operator's word on all jobs that a filter means, and the commands that only go by one."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, answer, ledger_here, show
from conductor.app.cli.jobs import filter_of
from conductor.base.operator_name import operator_name

if TYPE_CHECKING:
    from conductor.model.job_filter import JobFilter
    from conductor.recovery.job_actions import ActedJob, ActionResult, JobVerb

JobOrFilter = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[JOB|FILTER…]", help="An id, or its first letters; or a filter as of `conductor jobs`."
    ),
]
Sure = Annotated[
    bool, typer.Option("--yes", help="Of a filter: do it, without asking. Needed where nobody can be asked.")
]
_ID = re.compile(r"[A-Za-z0-9_-]+\Z")


def register(app: typer.Typer) -> None:
    for command in (drop, priority):
        app.command()(command)


def drop(words: JobOrFilter = None, is_sure: Sure = False, as_json: AsJson = False) -> None:
    """Give up what does not run: waiting, dead, or in review. What runs is left alone.

    How many is said first. `conductor retry` brings them back.

    Example: conductor drop state:dead cause:bad_input --yes
    """
    act_by_filter("drop", words, is_sure, as_json)


def priority(
    number: Annotated[int, typer.Argument(metavar="PRIORITY", help="From -1000 to 1000; higher goes first.")],
    words: JobOrFilter = None,
    is_sure: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Another priority for jobs that have not begun, and for what they wait for.

    How many is said first. A dispatch of their manifest says again what their lines ask.

    Examples: conductor priority 50 file:wedding; conductor priority -5 -- backlog:archive state:waiting
    """
    act_by_filter("priority", words, is_sure, as_json, number)


def one_id(words: list[str] | None) -> str | None:
    """Where one job is meant, and no filter."""
    return words[0] if words is not None and len(words) == 1 and _ID.match(words[0]) else None


def act_by_filter(
    verb: JobVerb, words: list[str] | None, is_sure: bool, as_json: bool, number: int | None = None
) -> None:
    """Exit 1 where the filter means no job. Raises `UsageError` for an empty filter, and where nobody can be
    asked and --yes is not given."""
    from conductor.base.errors import UsageError
    from conductor.base.logs.events import tell_event
    from conductor.base.progress import Progress
    from conductor.base.text import many
    from conductor.model.job_filter import JobFilter
    from conductor.record.journal import Journal
    from conductor.recovery.job_actions import act_on, refuse_unmeant
    from conductor.views.job_list import JobList
    from conductor.views.meant_jobs import ids_meant

    job = one_id(words)
    wanted = filter_of(words) if job is None else JobFilter(ids=(job,))
    refuse_unmeant(verb, wanted, number)
    with ledger_here() as (settings, ledger), Progress() as progress:
        found = JobList(settings.state_dir, settings.receipts_dir, ledger)
        found.refresh(progress.counted("reading the record", "line"))
        ids = ids_meant(found, verb, wanted)
        if job is not None and len(ids) > 1:
            raise UsageError(f"{job} could be {', '.join(ids[:5])}: give more letters")
        said = f"{verb} {many(len(ids), 'job')}" + ("" if number is None else f" to {number}")
        if ids and not (is_sure or job is not None):
            confirm(said)
        tell, batches = progress.counted(verb, "job"), list[int]()

        def told(acted: Sequence[ActedJob]) -> None:
            batches.append(len(acted))
            tell(sum(batches))

        result = act_on(
            ledger, Journal(settings.receipts_dir), verb, ids, wanted, who=operator_name(), priority=number,
            on_acted=told,
        )  # fmt: skip
        what = f"{verb} {result.filter}".strip()
        tell_event(ledger.events.append, "operator.acted_on_many", "{who}: {what}: done to {jobs} jobs",
                   who=operator_name(), what=what, jobs=result.taken)  # fmt: skip
    answer(as_json, result, sentence_of(result, wanted))
    if not result.taken:
        raise typer.Exit(1)


def confirm(said: str) -> None:
    """Raises `UsageError` where nobody is there, and `typer.Exit` (1) on a no."""
    from conductor.base.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"{said}? nobody can be asked here: say it again with --yes")
    if not typer.confirm(f"{said}?", err=True):
        show(["nothing was done"], err=True)
        raise typer.Exit(1)


def sentence_of(result: ActionResult, wanted: JobFilter) -> str:
    from conductor.base.text import many

    left = ", ".join(f"{count} {state}" for state, count in result.left.items())
    done = f"{result.verb}: done to {many(result.taken, 'job')}"
    if not result.taken and not left:
        states = " of a state in which there is something to do" if not wanted.states else ""
        return f"{result.verb}: no job{states} fits {result.filter}"
    return f"{done}; left as they are: {left}" if left else done
