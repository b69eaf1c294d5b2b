"""Commands that only look: status, top, explain, metrics, audit, doctor, config show."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import (
    AsJson,
    emit,
    ledger_to_read,
    one_backlog,
    one_job,
    settings_here,
)
from conductor.app.cli.frame import CommandGroup

if TYPE_CHECKING:
    from conductor.recovery.audit import AuditReport

config_app = typer.Typer(
    cls=CommandGroup, help="The settings in force.", rich_markup_mode=None, no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    for command in (status, top, explain, metrics, audit, doctor):
        app.command()(command)
    config_app.command("show")(config_show)
    # A second command keeps `config` a group whatever becomes of the first.
    config_app.callback()(lambda: None)
    app.add_typer(config_app, name="config")


def status(
    backlog: Annotated[str | None, typer.Option(metavar="backlog:NAME", help="One backlog only.")] = None,
    as_json: AsJson = False,
) -> None:
    """What is done, running, held and dead, and the nodes.

    Example: conductor status --json
    """
    from conductor.base.logs.logs import RED
    from conductor.base.text import printable
    from conductor.views.headline import COLOUR_OF, headline_of, line
    from conductor.views.paper import Paper
    from conductor.views.status import gather
    from conductor.views.status_text import lines
    from conductor.views.stuck import tasks_of
    from conductor.views.whole_status import find, headed, whole_status

    with ledger_to_read() as (settings, ledger):
        name = one_backlog(ledger, backlog)
        now = gather(ledger, name)
        found = find(
            ledger,
            name,
            now.active,
            layout=settings.layout,
            valkey=settings.valkey,
            tasks=tasks_of(settings.for_code) if now.active else {},
            lease_s=settings.timing.lease_s,
        )
        now = whole_status(now, found)
    if as_json:
        emit(headed(now))
        return
    page = Paper.of(sys.stdout, os.environ)
    headline = headline_of(now)
    first = page.coloured(printable(line(headline)), COLOUR_OF[headline.tone])
    typer.echo("\n".join([first, "", *map(page.fitting, lines(now, lambda text: page.coloured(text, RED)))]))


def top(
    backlog: Annotated[str | None, typer.Option(metavar="backlog:NAME", help="One backlog only.")] = None,
    as_json: AsJson = False,
) -> None:
    """The live view with keys: jobs, lanes, gates, devices. `?` shows the keys, q leaves.

    `/` filters by the words of `conductor jobs`, e explains, l shows what a job printed, c cancels, p pauses
    a lane; what does something asks first. In a pipe it is one line.

    Example: conductor top
    """
    from conductor.views.run_watch import LedgerWatch, is_live, watching

    with ledger_to_read() as (settings, ledger):
        name = one_backlog(ledger, backlog)
        if as_json:
            emit(LedgerWatch(ledger, name).pace.last)
        elif not is_live():
            from conductor.views.live_display import one_line

            typer.echo(one_line(LedgerWatch(ledger, name).pace))
        elif sys.stdin.isatty() and sys.stdout.isatty() and find_spec("textual") is not None:
            from conductor.app.top.deeds import TopDeeds
            from conductor.app.top.screen import Top
            from conductor.app.top.source import TopSource

            source = TopSource(ledger, name, settings.state_dir, settings.receipts_dir)
            deeds = TopDeeds(ledger, settings.state_dir, settings.receipts_dir, settings.logs_dir)
            screen = Top(source.look, deeds)
            try:
                screen.run()
            finally:
                screen.close()
        else:
            from threading import Event

            with watching(ledger, name):
                Event().wait()


def explain(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first letters of it.")],
    as_json: AsJson = False,
) -> None:
    """Why a job waits, failed or is where it is.

    Every gate with its numbers, its life step by step, what it read and how large that is, every attempt with
    its whole traceback (on the host that ran it), and what ran beside it.

    Example: conductor explain k3v7
    """
    from conductor.record.index.history import HistoryIndex
    from conductor.views.explain_job import explained, lines

    with ledger_to_read() as (settings, ledger):
        history = HistoryIndex(settings.state_dir, settings.receipts_dir)
        story = explained(ledger, one_job(ledger, job), history, settings.logs_dir)
    if as_json:
        emit(story)
    else:
        typer.echo("\n".join(lines(story)))


def metrics() -> None:
    """The figures of the last tick for Prometheus.

    Text format, on stdout: jobs by state, seconds lost to each gate, what is free and reserved, budgets,
    ages.

    Example: conductor metrics > /var/lib/node_exporter/conductor.prom
    """
    from conductor.views.metrics import metrics

    with ledger_to_read() as (_, ledger):
        typer.echo(metrics(ledger), nl=False)


def audit(
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MANIFEST", help="From manifests, receipts and outputs alone; may be given again."
        ),
    ] = None,
    hash_outputs: Annotated[
        bool, typer.Option("--hash", help="Read the outputs whole, not just their sizes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold everything against its invariants. Exit 1 on a fault; every offender is named.

    Live: each job in exactly one place, sums, queues, leases, workers, one receipt for what is done, outputs
    as published. With --manifest no Redis is asked.

    Example: conductor audit
    Example: conductor audit --manifest manifests/videos.jsonl --hash
    """
    from conductor.base.text import printable
    from conductor.recovery.audit import audit_files, lines

    if manifest:
        report = audit_files(manifest, settings_here(begins=True).layout, hash_outputs)
    else:
        report = live_report(hash_outputs)
    if as_json:
        emit(report)
    else:
        typer.echo("\n".join(printable(line) for line in lines(report)))
    if not report.is_sound:
        raise typer.Exit(1)


def live_report(is_hashing: bool) -> AuditReport:
    from conductor.adapters.memory import memory_ledger
    from conductor.adapters.open_ledger import redis_ledger, redis_of
    from conductor.adapters.redis.scans.full_ledger import no_full_ledger
    from conductor.adapters.redis.scans.full_ledger_chunked import read_full_ledger
    from conductor.adapters.redis.scripts import Scripts
    from conductor.base.progress import Progress
    from conductor.base.redis_keys import Keys
    from conductor.record.project_folder import has_ledger
    from conductor.recovery.audit import audit_live

    settings = settings_here()
    if not has_ledger(settings):
        return audit_live(memory_ledger(), no_full_ledger, settings.layout, is_hashing)
    with Progress() as progress, redis_of(settings, is_lenient=True) as client:
        scripts, on_read = (
            Scripts(client, Keys(settings.redis.prefix)),
            progress.counted("reading the ledger", "job"),
        )
        return audit_live(
            redis_ledger(client, keys=scripts.keys),
            lambda: read_full_ledger(scripts, on_read),
            settings.layout,
            is_hashing,
        )


def doctor(as_json: AsJson = False) -> None:
    """Is this machine ready? Exit 1 when something is wrong.

    Python, ffmpeg, Valkey, GPU, ONNX, folders, disk space, tasks, keys: each a line with what to do about it.

    Example: conductor doctor
    """
    from conductor.base.text import printable
    from conductor.views.doctor.examination import examine

    findings = examine(settings_here(begins=True))
    if as_json:
        emit(findings)
    else:
        for finding in findings:
            typer.echo(f"{finding.mark}  {finding.what}: {printable(finding.words)}")
            if finding.advice:
                typer.echo(f"      → {printable(finding.advice)}")
    if any(finding.mark == "BAD" for finding in findings):
        raise typer.Exit(1)


def config_show(
    origin: Annotated[bool, typer.Option("--origin", help="Also where each value comes from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Every setting with its value.

    Example: conductor config show --origin
    """
    from conductor.base.settings.origin import as_text, settings_with_origin

    rows = settings_with_origin(settings_here(begins=True))
    if as_json:
        emit({r.key: {"value": r.value, "origin": r.origin} if origin else r.value for r in rows})
        return
    for r in rows:
        typer.echo(f"{r.key} = {as_text(r.value)}{f'    # {r.origin}' if origin else ''}")
