"""The list of jobs."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show
from conductor.model.grouped_by import GroupedBy

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings
    from conductor.model.job_filter import JobFilter
    from conductor.ports import Ledger

FilterWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILTER]…",
        help="state: cause: task: workflow: backlog: node: file: since: until: id:, and words to search for.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(jobs)


def jobs(
    words: FilterWords = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 40,
    cursor: Annotated[
        str, typer.Option(metavar="CURSOR", help="Go on where a list ended: it is at its foot.")
    ] = "",
    by: Annotated[
        GroupedBy | None, typer.Option(help="Instead of the jobs: how many there are of each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The jobs that fit, the latest first, and what they come to.

    With Redis or without: then it is what manifests and receipts say. Words of one qualifier (with commas)
    are alternatives (of file: and plain words all hold), those of different ones all hold; times: 18:00, 2h,
    yesterday, 2026-11-28. The whole language: docs/filter.md.

    Examples: conductor jobs state:dead cause:timeout since:18:00; conductor jobs file:clip7 --json;
    conductor jobs state:dead --by cause
    """
    from conductor.base.progress import Progress
    from conductor.model.job_row import JobPage
    from conductor.views.job_list import JobList
    from conductor.views.job_table import group_lines, lines, sum_line

    wanted = filter_of(words)
    with ledger_if_there() as (settings, ledger), Progress() as progress:
        found = JobList(settings.state_dir, settings.receipts_dir, ledger)
        found.refresh(progress.counted("reading the record", "line"))
        sums = found.index.sums(wanted, by)
        page = found.full_page(wanted, limit, cursor) if by is None else JobPage(notes=found.notes)
    if as_json:
        emit(sums if by is not None else {**_with_subjects(page), "filter": words or [], "sums": sums})
        return
    for note in page.notes:
        show([f"note: {note}"], err=True)
    told = lines(page, time.time()) if by is None else group_lines(sums)
    show([*told, *sum_line(sums)])


def filter_of(words: list[str] | None) -> JobFilter:
    """Raises `UsageError`."""
    from conductor.base.errors import UsageError
    from conductor.base.moments import moment_reader
    from conductor.model.job_filter import FilterError, parse_filter

    try:
        return parse_filter(words or (), moment_reader())
    except FilterError as e:
        raise UsageError(str(e)) from None


@contextmanager
def ledger_if_there() -> Generator[tuple[CodeSettings, Ledger | None]]:
    """The ledger, or None where Redis does not answer, or nothing was done yet: the record goes without."""
    from contextlib import ExitStack

    from conductor.adapters.open_ledger import open_ledger
    from conductor.base.errors import Unreachable
    from conductor.record.project_folder import has_ledger

    settings = settings_here()
    with ExitStack() as stack:
        ledger = None
        if has_ledger(settings):
            try:
                ledger = stack.enter_context(open_ledger(settings, is_lenient=True))
            except Unreachable as e:
                show([f"note: {e}"], err=True)
        yield settings.for_code, ledger


def _with_subjects(page: object) -> dict[str, object]:
    import msgspec

    from conductor.model.job_row import JobPage
    from conductor.views.as_json import complete

    assert isinstance(page, JobPage)
    fields = complete(page)
    fields["rows"] = [{"subject": row.subject, **complete(row)} for row in page.rows]
    return msgspec.to_builtins(fields)
