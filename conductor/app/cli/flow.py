"""The way of the work: plan, dispatch, conduct, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, ledger_here, ledger_to_read, settings_here, show

if TYPE_CHECKING:
    from conductor.record.dispatched_manifests import Source
    from conductor.views.run_summary import Account

Manifest = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="A manifest, as `conductor plan` writes it.")
]


#: Findings of a kind that `verify` keeps to show some of them.
LISTED = 1000


def register(app: typer.Typer) -> None:
    pass_on = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
    app.command(context_settings=pass_on)(plan)
    for command in (dispatch, conduct, verify):
        app.command()(command)


def plan(
    context: typer.Context,
    workflow: Annotated[
        str,
        typer.Argument(
            metavar="WORKFLOW", help="One of those installed, or of your workflows/.", show_default=False
        ),
    ] = "",
) -> None:
    """Write the manifest of a workflow. Without a name: list the workflows.

    The same inputs give the same file, byte for byte. Each job is held to the rules of a dispatch, and to the
    roots and programs that conductor.toml declares: where one has a fault nothing is written (exit 3). Exit 1
    without any job.

    \b
    The workflow has options of its own:  conductor plan WORKFLOW --help
    Example:  conductor plan system_test --mode backlog --count 50
    Example:  conductor plan highlights ~/Videos -o manifests/videos.jsonl
    """
    from conductor.app import workflow_lookup
    from conductor.base.text import printable
    from conductor.planning import planned

    settings = settings_here(begins=True)
    if not workflow:
        for name in workflow_lookup.available(settings.for_code):
            typer.echo(printable(f"{name}  {workflow_lookup.about(name, settings.for_code)}"))
        return
    path, jobs = workflow_lookup.plan(workflow, context.args, settings.for_code)
    typer.echo(planned(path, jobs))
    if not jobs:
        raise typer.Exit(1)


def dispatch(
    manifest: Manifest,
    target: Annotated[
        str | None, typer.Option(metavar="backlog:NAME", help="Default: a backlog with the workflow's name.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it all, say what would be new, put nothing.")
    ] = False,
    move: Annotated[
        bool, typer.Option("--move", help="Jobs that wait in another backlog come into this one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the jobs of a manifest into a backlog. Twice is once: known jobs stay as they are.

    Where a line was edited (needs, priority, timeout, after, …) its job takes it, unless it runs or is done;
    a dead one waits again. Exit 1 where jobs stay in another backlog.

    Example: conductor dispatch manifests/system_test_backlog_50.jsonl --target backlog:system_test
    """
    from conductor.base.progress import Progress
    from conductor.base.text import many
    from conductor.dispatch.backlog_name import backlog_name
    from conductor.dispatch.catalogue import catalogue_of
    from conductor.dispatch.dispatch import default_backlog
    from conductor.dispatch.dispatch import dispatch as put
    from conductor.dispatch.dispatch_report import notes, summed, to_json
    from conductor.dispatch.file_chains import rules_of
    from conductor.record.counter_rules import rule_of
    from conductor.record.manifest import missing
    from conductor.record.store_rule import known_stores

    seen = 0

    def on_progress(jobs: int, total: int) -> None:
        nonlocal seen
        seen = jobs
        say_so(jobs, total)

    if not manifest.exists():
        raise missing(manifest)
    here = ledger_to_read(begins=True) if dry_run else ledger_here(is_lenient=False, begins=True)
    with here as (settings, ledger), Progress() as progress:
        say_so = progress.of("looking up" if dry_run else "dispatching", "job")
        name = backlog_name(target) if target else default_backlog(manifest)
        catalogue = catalogue_of(settings.for_code)
        try:
            result = put(
                ledger,
                manifest,
                name,
                catalogue,
                settings.receipts_dir,
                on_progress,
                on_checked=progress.counted("checking", "line"),
                is_dry_run=dry_run,
                is_moving=move,
                vram_headroom_mib=settings.limits.vram_headroom_mib,
                is_gpu_on_cpu=settings.lanes.gpu.on_cpu,
                files=rules_of(settings.layout),
                rules=[
                    rule_of(settings.counters, catalogue),
                    known_stores(settings.stores, catalogue),
                ],
            )
        except KeyboardInterrupt:
            there = f": the first {many(seen, 'job')} are in backlog:{name}" if seen and not dry_run else ""
            typer.echo(f"interrupted{there}; the same command again puts what is missing", err=True)
            raise
    for sentence in notes(result, name):
        show([f"note: {sentence}"], err=True)
    if as_json:
        emit({"backlog": name, "dry_run": dry_run, **to_json(result)})
    else:
        typer.echo(summed(result, name, dry_run))
    raise typer.Exit(result.exit_code)


def conduct(
    backlog: Annotated[
        str | None, typer.Option(metavar="backlog:NAME", help="Feed this backlog only. Default: all of them.")
    ] = None,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when nothing is left to run.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Feed the workers whenever there is room.

    With --until-done and no node up, one is started for this run. Exit 1, then, where jobs are dead or in
    review, whenever they got there, or where what is left can never run here.

    Ctrl-C once: what runs is finished, nothing new starts. Twice: stop at once; nothing is lost, call it
    again.

    Example: conductor conduct --backlog backlog:system_test --until-done
    """
    from conductor.app.conduct import conduct as run
    from conductor.base.logs.logs import set_up
    from conductor.dispatch.backlog_name import backlog_name

    settings = settings_here()
    name = backlog_name(backlog) if backlog else None
    set_up(settings.logs_dir, "conduct")
    ending = run(settings, name, until_done)
    report(ending.account, as_json)
    raise typer.Exit(ending.exit_code)


def report(account: Account, as_json: bool) -> None:
    from conductor.views.run_summary import lines

    if as_json:
        emit(account)
    else:
        show(lines(account))


def verify(
    manifest: Manifest,
    strict: Annotated[
        bool, typer.Option("--strict", help="Also report receipts of jobs that the manifest does not name.")
    ] = False,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Read all outputs, and decode all media, also what its worker counted."),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Read all outputs, also those that the conductor has read back."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold every job against its receipts and outputs. Exit 1 on a finding, and where there are no jobs.

    Lines are held to the rules of a dispatch first. Outputs are read whole and hashed, but for those that the
    conductor read back while the run went on and that nobody has written to since; of media whose content is
    what a worker counted and published, its pictures, length and tags stand in the receipt. Needs no Redis.

    Example: conductor verify manifests/system_test_backlog_50.jsonl
    Example: conductor verify --again manifests/highlights.jsonl
    Example: conductor verify --deep manifests/highlights.jsonl
    """
    from conductor.app.workflow_lookup import checks_for
    from conductor.base.progress import Progress
    from conductor.record.dispatched_manifests import other_contents
    from conductor.record.journal import Journal
    from conductor.tick.breakers import why_missing
    from conductor.verify.file_facts import nothing_noted
    from conductor.verify.read_back import notes_of
    from conductor.verify.verify import sound
    from conductor.verify.verify import verify as check
    from conductor.views.stuck import tasks_of

    settings = settings_here(begins=True)
    with Progress() as progress:
        workflows = sound(manifest, progress.counted("checking", "line")).workflows
        found = check(
            manifest,
            settings.receipts_dir,
            settings.layout,
            checks_for(workflows, settings.for_code),
            progress.of("verifying", "job"),
            on_read=progress.counted("reading manifest and receipts", "line"),
            is_strict=strict,
            is_deep=deep,
            noted=nothing_noted if again or deep else notes_of(settings.state_dir).known,
            why_missing=why_missing(settings.receipts_dir, tasks_of(settings.for_code)),
            # The JSON lists all, however many; a person is shown a few.
            most=None if as_json else LISTED,
        )
    for source, jobs in other_contents(Journal(settings.receipts_dir).ledger_match(None).sources, manifest):
        show([f"note: {also(manifest, source, jobs)}"], err=True)
    if as_json:
        emit(found.to_json())
    else:
        typer.echo(found.to_text())
    raise typer.Exit(found.exit_code)


def also(manifest: Path, source: Source, jobs: int) -> str:
    """A manifest of the same name was dispatched, and its jobs are not among those that were verified."""
    from conductor.base.text import many

    kept = "kept nowhere" if source.kept is None else f"conductor verify {source.kept}"
    return f"{many(jobs, 'job')} more were dispatched from {manifest} when it said something else: {kept}"
