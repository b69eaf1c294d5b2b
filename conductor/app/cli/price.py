"""What to buy, and what to change: how much sooner the same jobs would be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show

if TYPE_CHECKING:
    from conductor.analysis.price import Price, Wish
    from conductor.base.settings.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(price)
    app.command()(what_if)


def price(
    manifest: Annotated[
        Path | None,
        typer.Argument(metavar="MANIFEST", help="Default: what waits and goes now.", show_default=False),
    ] = None,
    backlog: Annotated[
        str | None, typer.Option(metavar="backlog:NAME", help="Of what waits: this one only.")
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(metavar="CLUSTER.toml", help="Of a manifest: the hosts, as [[node]] tables."),
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Of a manifest: arrivals are ignored.")] = False,
    gpus: Annotated[int, typer.Option(metavar="N", min=1, help="So many GPUs more, all on one host.")] = 1,
    gpu_mib: Annotated[
        int, typer.Option(metavar="MIB", min=0, help="VRAM of each; 0: as the largest there is.")
    ] = 0,
    scratch_gb: Annotated[
        int, typer.Option(metavar="GB", min=1, help="So much more scratch on each host.")
    ] = 500,
    quota: Annotated[
        float, typer.Option(metavar="TIMES", min=0.01, help="So many times the quota of every API.")
    ] = 2.0,
    hosts: Annotated[int, typer.Option(metavar="N", min=1, help="So many CPU hosts more.")] = 1,
    pilots: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many pilots more of each engine that has them.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """How much sooner with one more GPU, more scratch, more quota, one more host, one more pilot.

    The jobs are played through by the live decision and the rule of conductor.toml, once as it is and once
    with each of these; nothing is executed. What waits takes as long as receipts taught, a manifest's jobs as
    long as they declare. Exit 1 where nothing waits, or nobody can say yet how long it takes.

    Example: conductor price --backlog backlog:night

    Example: conductor price manifests/night.jsonl --cluster cluster.toml --gpus 2
    """
    from conductor.analysis.one_more import GB
    from conductor.analysis.price import Wish, lines
    from conductor.base.errors import UsageError
    from conductor.base.settings.engine_settings import pilot_shapes

    if (manifest is None) != (cluster is None) or (manifest is not None and backlog is not None):
        raise UsageError("give a MANIFEST and --cluster, or neither: then it is about what waits now")
    settings = settings_here(begins=manifest is not None)
    wish = Wish(
        gpus=gpus,
        gpu_mib=gpu_mib,
        scratch_bytes=scratch_gb * GB,
        quota=quota,
        hosts=hosts,
        pilots=pilots,
        shapes=pilot_shapes(settings.engines),
    )
    if manifest is not None and cluster is not None:
        found = _of_manifest(settings, manifest, cluster, batch, wish)
    else:
        found = _of_ledger(settings, backlog, wish)
    if as_json:
        emit(found)
    else:
        show(lines(found))


def what_if(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILTER…]", help="With --priority: which jobs, as of `conductor jobs`."),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(metavar="N", min=-1000, max=1000, help="Of these jobs, and of what they wait for."),
    ] = None,
    gpus: Annotated[
        int, typer.Option(metavar="N", min=0, max=64, help="So many more, as the largest there is.")
    ] = 0,
    scratch_gb: Annotated[
        int, typer.Option(metavar="GB", min=0, help="So much more scratch on each host.")
    ] = 0,
    quota: Annotated[
        float, typer.Option(metavar="TIMES", min=0.01, help="So many times the quota of every API.")
    ] = 1.0,
    hosts: Annotated[
        int, typer.Option(metavar="N", min=0, max=64, help="So many more, as the one with most cores.")
    ] = 0,
    pilots: Annotated[
        int, typer.Option(metavar="N", min=0, max=64, help="So many more of each engine that has them.")
    ] = 0,
    pause: Annotated[
        list[str] | None, typer.Option(metavar="backlog:NAME", help="As if it were paused. Repeatable.")
    ] = None,
    all_hours: Annotated[
        bool, typer.Option("--all-hours", help="As if no hours held lanes or backlogs back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The new time of the end, before anything is changed.

    What waits is played through by the live decision, as it is and with the change; nothing is executed.
    Exit 1 where nothing waits, or nobody can say yet how long it takes.

    Example: conductor what-if --priority 50 file:wedding

    Example: conductor what-if --gpus 1 --all-hours

    Example: conductor what-if --pause backlog:archive
    """
    from msgspec.structs import replace

    from conductor.adapters.open_ledger import redis_of
    from conductor.analysis.circumstances import Change
    from conductor.analysis.forecast.predict import Predictor
    from conductor.analysis.one_more import GB
    from conductor.analysis.price_inputs import NOTHING, what_if_of_ledger
    from conductor.analysis.what_if import lines
    from conductor.app.cli.jobs import filter_of
    from conductor.base.errors import NothingFound, UsageError
    from conductor.base.settings.engine_settings import pilot_shapes
    from conductor.dispatch.backlog_name import backlog_name
    from conductor.record.project_folder import has_ledger
    from conductor.views.job_list import JobList
    from conductor.views.meant_jobs import ids_meant

    wanted = filter_of(words)
    change = Change(
        priority=priority,
        gpus=gpus,
        hosts=hosts,
        pilots=pilots,
        scratch_bytes=scratch_gb * GB,
        quota=quota,
        paused=frozenset(backlog_name(name) for name in pause or ()),
        is_always_open=all_hours,
    )
    if change == Change():
        raise UsageError("say what would be different: --priority N FILTER, --gpus N, --pause backlog:NAME …")
    if (priority is None) != wanted.is_empty:
        raise UsageError("a priority and a filter go together: --priority 50 file:wedding")
    settings = settings_here()
    if not has_ledger(settings):
        raise NothingFound(NOTHING)
    with redis_of(settings, is_lenient=True) as client:
        predictor = Predictor(settings, client, ())
        if priority is not None:
            jobs = JobList(settings.state_dir, settings.receipts_dir, predictor.ledger)
            jobs.refresh()
            change = replace(change, meant=frozenset(ids_meant(jobs, "priority", wanted)))
        found = what_if_of_ledger(predictor, settings.rates, pilot_shapes(settings.engines), change)
    if as_json:
        emit(found)
    else:
        show(lines(found))


def _of_manifest(settings: Settings, manifest: Path, cluster: Path, is_batch: bool, wish: Wish) -> Price:
    from conductor.analysis.price_inputs import of_manifest
    from conductor.base.settings.limits import limits_of
    from conductor.dispatch.catalogue import catalogue_of

    rule, catalogue = limits_of(settings), catalogue_of(settings.for_code)
    return of_manifest(manifest, cluster, catalogue, settings.rates, rule, wish, is_batch=is_batch)


def _of_ledger(settings: Settings, backlog: str | None, wish: Wish) -> Price:
    from conductor.adapters.open_ledger import redis_of
    from conductor.analysis.forecast.predict import Predictor
    from conductor.analysis.price_inputs import NOTHING, of_ledger
    from conductor.base.errors import NothingFound
    from conductor.dispatch.backlog_name import backlog_name
    from conductor.record.project_folder import has_ledger

    names = (backlog_name(backlog),) if backlog else ()
    if not has_ledger(settings):
        raise NothingFound(NOTHING)
    with redis_of(settings, is_lenient=True) as client:
        return of_ledger(Predictor(settings, client, names), settings.rates, wish)
