"""`conductor review`: what waits for a person's verdict, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.bulk import JobOrFilter, Sure, confirm, one_id
from conductor.app.cli.context import AsJson, emit, ledger_here, one_job, show
from conductor.app.cli.frame import CommandGroup
from conductor.app.cli.jobs import FilterWords, filter_of
from conductor.base.operator_name import operator_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conductor.model.job_filter import JobFilter
    from conductor.model.ledger_entries import JobView
    from conductor.ports import Ledger
    from conductor.recovery.verdicts import VerdictTaken
    from conductor.views.job_list import JobList

Note = Annotated[str, typer.Option("--note", metavar="WORDS", help="Why; it is kept with the verdict.")]
Item = Annotated[
    list[int] | None,
    typer.Option(
        "--item", metavar="N", min=1, help="Only this item, by its number in the list; may be repeated."
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="So many jobs at most.")]
Cursor = Annotated[str, typer.Option(metavar="CURSOR", help="Go on where a list ended: it is at its foot.")]

review_app = typer.Typer(
    cls=CommandGroup,
    help="What waits for a person's verdict. Without a word behind it: all of it.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    review_app.callback()(list_all)
    review_app.command("list")(list_some)
    for command in (accept, reject):
        review_app.command()(command)
    app.add_typer(review_app, name="review")


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """What waits for a person's verdict: each job with what it shows."""
    if context.invoked_subcommand is None:
        list_some(as_json=as_json)


def list_some(
    words: FilterWords = None, limit: Limit = 40, cursor: Cursor = "", as_json: AsJson = False
) -> None:
    """The jobs that wait for a verdict and fit the filter, each with what it shows.

    Example: conductor review list task:media.probe file:holiday
    """
    from conductor.base.progress import Progress
    from conductor.views.job_list import JobList
    from conductor.views.review_list import lines, review_page

    wanted = filter_of(words)
    with ledger_here() as (settings, ledger), Progress() as progress:
        found = JobList(settings.state_dir, settings.receipts_dir, ledger)
        found.refresh(progress.counted("reading the record", "line"))
        page = review_page(found, ledger, wanted, limit, cursor)
    if as_json:
        emit(page)
        return
    show((f"note: {note}" for note in page.notes), err=True)
    show(lines(page))


def accept(
    words: JobOrFilter = None,
    item: Item = None,
    note: Note = "",
    is_sure: Sure = False,
    as_json: AsJson = False,
) -> None:
    """What a job made is good: it is done, and what waits for it goes on. Exit 1 where nothing was taken.

    Examples: conductor review accept 7fc2; conductor review accept 7fc2 --item 3; conductor review accept
    task:media.preview --yes
    """
    judge(True, words, item, note, is_sure, as_json)


def reject(
    words: JobOrFilter = None,
    item: Item = None,
    note: Note = "",
    is_sure: Sure = False,
    as_json: AsJson = False,
) -> None:
    """What a job made is not good: it is dead with the note as its reason, unless its task only leaves out
    what is rejected. `conductor retry` makes it again. Exit 1 where nothing was taken.

    Example: conductor review reject 7fc2 --note "too dark"
    """
    judge(False, words, item, note, is_sure, as_json)


def judge(
    is_accepted: bool,
    words: list[str] | None,
    item: list[int] | None,
    note: str,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Raises `UsageError` for an empty filter, and for items of more than one job."""
    from conductor.base.errors import UsageError
    from conductor.base.text import many
    from conductor.model.job_filter import JobFilter
    from conductor.recovery.verdicts import ReviewDesk
    from conductor.views.job_list import JobList

    job = one_id(words)
    wanted = JobFilter() if job is not None else filter_of(words)
    if job is None and (wanted.is_empty or item):
        raise UsageError("say which job: its id, or its first letters; or a filter, without --item")
    verb = "accept" if is_accepted else "reject"
    with ledger_here() as (settings, ledger):
        found = JobList(settings.state_dir, settings.receipts_dir, ledger)
        views = [one_job(ledger, job)] if job is not None else list(shown_jobs(found, ledger, wanted))
        if job is None and views and not is_sure:
            confirm(f"{verb} {many(len(views), 'job')}")
        desk = ReviewDesk(ledger, settings.receipts_dir)
        try:
            taken = [desk.judge(view, is_accepted, operator_name(), note, item or ()) for view in views]
        finally:
            desk.close()
    if as_json:
        emit(taken)
    else:
        show([sentence(one, verb) for one in taken] or ["no job that waits for a verdict fits the filter"])
    if not any(one.taken for one in taken):
        raise typer.Exit(1)


def shown_jobs(found: JobList, ledger: Ledger, wanted: JobFilter) -> Iterator[JobView]:
    from msgspec.structs import replace

    found.refresh()
    for review in ledger.reviews.asked(list(found.ids(replace(wanted, states=("review",))))):
        if (view := ledger.jobs.job(review.job_id)) is not None:
            yield view


def sentence(taken: VerdictTaken, verb: str) -> str:
    from conductor.base.text import many

    kept = f"; {taken.kept}" if taken.kept else ""
    if not taken.taken:
        return f"{taken.job_id}: nothing to {verb}{kept}"
    then = f"{many(taken.left, 'item')} left to look at" if taken.left else f"the job is {taken.state}"
    return f"{taken.job_id}: {verb}ed {many(taken.taken, 'item')}, {then}{kept}"
