"""What would happen: a manifest on a described cluster, by the very same decision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conductor.app.cli.context import AsJson, emit, settings_here, show


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A manifest, as `conductor plan` writes it.")
    ],
    cluster: Annotated[
        Path, typer.Option(metavar="CLUSTER.toml", help="[[node]] tables: name, count, cpu_milli, …")
    ],
    batch: Annotated[
        bool, typer.Option("--batch", help="All jobs are there at once; arrivals are ignored.")
    ] = False,
    policy: Annotated[
        str, typer.Option(metavar="NAME", help="Who goes first: auto, or a simple rule.")
    ] = "auto",
    seed: Annotated[int, typer.Option(metavar="N", help="For the policy random.")] = 0,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Also a line a job: id, start_s, end_s, node, device.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a manifest through the decision on a cluster that is only described. Nothing is executed.

    It decides by the rule of conductor.toml (order, shares, `[waiting]`), and the answer names it. --policy
    changes the order, the place and whether a way out is kept; `[waiting]` stays on.

    Exit 1 when a job can never run there, or could and never did.

    Example: conductor simulate manifests/night.jsonl --cluster cluster.toml --batch
    """
    import msgspec
    import orjson

    from conductor.analysis.simulation.rule import words
    from conductor.analysis.simulation.run import simulate as run
    from conductor.base.progress import Progress
    from conductor.base.settings.limits import limits_of
    from conductor.dispatch.catalogue import catalogue_of

    settings = settings_here(begins=True)
    catalogue = catalogue_of(settings.for_code)
    with Progress() as progress:
        found = run(
            manifest,
            cluster,
            catalogue,
            limits_of(settings),
            is_batch=batch,
            policy=policy,
            seed=seed,
            with_lines=jobs,
            on_read=progress.counted("reading", "job"),
            on_ended=progress.of("playing", "job"),
        )
    for sentence in found.refused:
        show([f"can never run: {sentence}"], err=True)
    if as_json and jobs:
        typer.echo(orjson.dumps(msgspec.to_builtins(found.figures)))  # so that every line is one JSON value
    elif as_json:
        emit(found.figures)
    else:
        shown = msgspec.to_builtins(found.figures) | {"rule": words(found.figures.rule)}
        for name, value in shown.items():
            typer.echo(f"{name:<20} {value}")
    for line in found.lines:
        typer.echo(orjson.dumps(msgspec.to_builtins(line)))
    raise typer.Exit(int(found.figures.infeasible > 0 or found.figures.deadlocked > 0))
