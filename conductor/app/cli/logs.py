"""What a job printed, and the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, show
from conductor.app.cli.jobs import FilterWords, filter_of, ledger_if_there

if TYPE_CHECKING:
    from conductor.model.told_event import ToldEvent
    from conductor.ports import Ledger
    from conductor.views.job_list import JobList

Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on as more comes. Ctrl-C leaves.")]


def register(app: typer.Typer) -> None:
    for command in (logs, events):
        app.command()(command)


def logs(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    follow: Follow = False,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="This attempt only.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a job's body printed: stdout, stderr and its traceback, attempt by attempt.

    Kept on the host that ran it, by size and age (`docs/worker.md`). With -f until the job has ended. Exit 1
    where nothing is kept.

    Example: conductor logs k3v7 -f
    """
    from msgspec.structs import replace

    from conductor.views.job_list import JobList
    from conductor.views.job_log import followed, lines_of, printed_of, text_of

    with ledger_if_there() as (settings, ledger):
        found = JobList(settings.state_dir, settings.receipts_dir, ledger)
        found.refresh()
        job_id = an_id(found, ledger, job)
        if follow:
            for number, line in followed(settings.logs_dir, job_id, lambda: is_over(ledger, job_id), attempt):
                show([f"{number}│ {line.expandtabs()}"])
            return
        printed = printed_of(settings.logs_dir, job_id, attempt)
        texts = [replace(each, text=text_of(each, settings.logs_dir, job_id)) for each in printed]
        row = found.job(job_id)
    if as_json:
        emit({"job_id": job_id, "subject": row.subject if row else "", "attempts": texts})
    for each in () if as_json else texts:
        still = ", running" if each.is_running else ""
        show([f"── {row.subject if row else job_id} · attempt {each.attempt}{still} ──"], err=True)
        show(lines_of(each.text.rstrip("\n")))
    if not texts:
        place = f" ({row.node})" if row and row.node else ""
        show([f"{job_id} has printed nothing that is kept on this host{place}"], err=True)
        raise typer.Exit(1)


def events(
    words: FilterWords = None,
    follow: Follow = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many of the last ones.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """What happened last: jobs, gates, nodes, workers, commands (`docs/events.md` has the names).

    Of a FILTER as of `conductor jobs` task:, node:, cause:, id:, file:, since:, until: and words choose
    events; words and file: go by the lines. With -f as they come.

    Examples: conductor events -f; conductor events task:media.cut since:1h --json
    """
    from conductor.base.errors import Unreachable

    wanted = filter_of(words)
    with ledger_if_there() as (_, ledger):
        if ledger is None:
            raise Unreachable("events are in Redis, and there is none to ask; `logs/*.jsonl` has them too")
        told = ledger.events.latest(10_000 if words else limit)
        from conductor.views.event_lines import event_json, event_line, is_meant

        def say(event: ToldEvent) -> None:
            typer.echo(event_json(event) if as_json else event_line(event))

        for event in [each for each in told if is_meant(each, wanted)][-limit:]:
            say(event)
        last = told[-1].id if told else ledger.events.bounds()[1]
        while follow:
            for event in ledger.events.read(last, wait_s=5.0):
                last = event.id
                if is_meant(event, wanted):
                    say(event)


def an_id(found: JobList, ledger: Ledger | None, prefix: str) -> str:
    """The job whose id begins so, by the record, or by the ledger. Raises `UsageError`."""
    from conductor.app.cli.context import one_job
    from conductor.base.errors import UsageError
    from conductor.model.job_filter import JobFilter

    rows = found.page(JobFilter(ids=(prefix,)), limit=6).rows if prefix else ()
    if len(rows) > 1:
        raise UsageError(f"{prefix} could be {', '.join(row.job_id for row in rows[:5])}: give more letters")
    if rows:
        return rows[0].job_id
    if ledger is None:
        raise UsageError(f"no job's id begins with {prefix}: `conductor jobs` shows what is known")
    return one_job(ledger, prefix).job_id


def is_over(ledger: Ledger | None, job_id: str) -> bool:
    view = None if ledger is None else ledger.jobs.job(job_id)
    return view is None or view.state in ("done", "dead", "cancelled", "review")
