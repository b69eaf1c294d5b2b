"""What a job printed, and the events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import emit, show
from conductor.app.cli.jobs import FilterWords, filter_of, ledger_if_there

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conductor.base.logs.two_streams import Stream
    from conductor.model.told_event import ToldEvent
    from conductor.ports import Ledger
    from conductor.views.job_list import JobList
    from conductor.views.job_log import PrintedByAttempt

Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on as more comes. Ctrl-C leaves.")]


def register(app: typer.Typer) -> None:
    for command in (logs, events):
        app.command()(command)


def logs(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    follow: Follow = False,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="This attempt only.")] = None,
    only_stdout: Annotated[bool, typer.Option("--stdout", help="What was written to stdout only.")] = False,
    only_stderr: Annotated[bool, typer.Option("--stderr", help="What was written to stderr only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; with -f one object a line.")] = False,
) -> None:
    """What a job's body printed: stdout, stderr and its traceback, attempt by attempt.

    Both streams in the order in which they were written; on a terminal, and with -f, «err│» stands before a
    line of stderr. Kept on the host that ran it, by size and age (`[clean]` in conductor.toml). With -f until
    the job has ended. Exit 1 where nothing is kept.

    Examples: conductor logs k3v7 -f; conductor logs k3v7 --stderr
    """
    from conductor.base.errors import UsageError
    from conductor.model.subject import SHORT_ID
    from conductor.views.job_list import JobList

    if only_stdout and only_stderr:
        raise UsageError("--stdout or --stderr: without either both are shown")
    only: Stream | None = "stdout" if only_stdout else "stderr" if only_stderr else None
    with ledger_if_there() as (settings, ledger):
        found = JobList(settings.state_dir, settings.receipts_dir, ledger)
        found.refresh()
        job_id = an_id(found, ledger, job)
        if follow:
            follow_log(settings.logs_dir, ledger, job_id, attempt, only, as_json=as_json)
            return
        printed = printed_texts(settings.logs_dir, job_id, attempt, only)
        row = found.job(job_id)
    if as_json:
        emit({"job_id": job_id, "subject": row.subject if row else "", "attempts": printed})
    for each in () if as_json else printed:
        still = ", running" if each.is_running else ""
        show([f"── {row.subject if row else job_id} · attempt {each.attempt}{still} ──"], err=True)
        show(shown_lines(each, has_signs=only is None and sys.stdout.isatty()))
    if not printed:
        place = f" ({row.node})" if row and row.node else ""
        words = f"has printed nothing{f' to {only}' if only else ''} that is kept on this host"
        about = f"{row.subject} ({job_id[:SHORT_ID]})" if row and row.subject else job_id
        show([f"{about} {words}{place}"], err=True)
        raise typer.Exit(1)


def printed_texts(
    logs_dir: Path, job_id: str, attempt: int | None, only: Stream | None
) -> list[PrintedByAttempt]:
    """Of each body that printed any of that, with the text."""
    from msgspec.structs import replace

    from conductor.views.job_log import as_text, lines_printed, printed_of, stderr_lines

    found: list[PrintedByAttempt] = []
    for each in printed_of(logs_dir, job_id, attempt):
        lines = lines_printed(each, logs_dir, job_id)
        if only is not None:
            lines = [line for line in lines if line.stream == only]
        if any(line.text for line in lines):
            found.append(replace(each, text=as_text(lines), stderr_lines=stderr_lines(lines)))
    return found


def shown_lines(printed: PrintedByAttempt, *, has_signs: bool) -> Iterator[str]:
    from conductor.views.job_log import STREAM_SIGNS, for_terminal

    errors = frozenset(printed.stderr_lines)
    for n, line in enumerate(printed.text.rstrip("\n").split("\n")):
        sign = STREAM_SIGNS["stderr" if n in errors else "stdout"] if has_signs else ""
        yield f"{sign}{for_terminal(line)}"


def follow_log(
    logs_dir: Path,
    ledger: Ledger | None,
    job_id: str,
    attempt: int | None,
    only: Stream | None,
    *,
    as_json: bool,
) -> None:
    from conductor.base.text import escaped
    from conductor.views.as_json import json_text
    from conductor.views.job_log import STREAM_SIGNS, followed, for_terminal

    for number, stream, line in followed(logs_dir, job_id, lambda: is_over(ledger, job_id), attempt):
        if only is not None and stream != only:
            continue
        if as_json:
            typer.echo(escaped(json_text({"attempt": number, "stream": stream, "line": line})))
        else:
            show([f"{number} {STREAM_SIGNS[stream]}{for_terminal(line)}"])


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
