"""Long-running parts: up, down, node, dashboard."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import redis_address, settings_here

if TYPE_CHECKING:
    from conductor.model.spec import Lane


DrainFor = Annotated[
    float | None,
    typer.Option(
        "--drain-for",
        metavar="SECONDS",
        min=0.0,
        help="Told to stop, jobs in hand have so long; then they go back.",
    ),
]


class LaneName(StrEnum):
    """typer takes no list of a Literal."""

    gpu = "gpu"
    cpu = "cpu"
    io = "io"
    cloud = "cloud"


def register(app: typer.Typer) -> None:
    for command in (up, down, node, dashboard):
        app.command()(command)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="In the background; returns when all of it is up.")
    ] = False,
    drain_for: DrainFor = None,
) -> None:
    """Valkey, node, conductor and dashboard, together.

    In the foreground: Ctrl-C once drains (what runs is finished), twice stops at once; nothing is lost.

    Example: conductor up --detach
    """
    from conductor.app.up import up as run
    from conductor.base.logs.logs import set_up

    settings = settings_here(begins=True)
    set_up(settings.logs_dir, "up")
    raise typer.Exit(run(settings, detach, drain_for))


def down(
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the jobs in hand: they go back.")
    ] = False,
) -> None:
    """Stop what `up` or `node --detach` started here.

    Example: conductor down
    """
    from conductor.app.up import down as run
    from conductor.base.logs.logs import set_up

    settings = settings_here()
    set_up(settings.logs_dir, "down")
    raise typer.Exit(run(settings, now))


def node(
    lane: Annotated[
        list[LaneName] | None, typer.Option("--lane", metavar="LANE", help="This lane; may be given again.")
    ] = None,
    gpu_only: Annotated[bool, typer.Option("--gpu-only", help="The same as --lane gpu.")] = False,
    cpu_only: Annotated[bool, typer.Option("--cpu-only", help="The same as --lane cpu.")] = False,
    io_only: Annotated[bool, typer.Option("--io-only", help="The same as --lane io.")] = False,
    cloud_only: Annotated[bool, typer.Option("--cloud-only", help="The same as --lane cloud.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="In the background; returns when it reports.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the one in the background, when its jobs are finished.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="With --stop: do not wait for the jobs in hand.")
    ] = False,
    drain_for: DrainFor = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="WHEN", help="Take only what is over by then, and end: 90min, 8h, 06:00."
        ),
    ] = None,
    cpus: Annotated[
        float | None, typer.Option(min=0.1, help="With --until: use so many cores of this host.")
    ] = None,
    ram_mib: Annotated[
        int | None, typer.Option(min=64, help="With --until: use so much of its memory.")
    ] = None,
    pilot: Annotated[str, typer.Option("--pilot", hidden=True, help="Its name at the engine.")] = "",
) -> None:
    """This host's workers and probe: what a second host runs.

    Beside one `conductor conduct` or `conductor up` somewhere, on the same Redis. Without a choice: all
    lanes. Ctrl-C once: the jobs in hand are finished. Twice: stop at once; they go back to the backlog.

    With --until it takes only jobs that are over by then, drains in time and ends.

    Example: conductor node --lane gpu --lane io
    """
    from conductor.adapters.open_ledger import open_ledger
    from conductor.base.logs.logs import set_up
    from conductor.model.spec import LANES
    from conductor.node.detached import detach_node, stop_node
    from conductor.node.run import run_node
    from conductor.node.term import term_of

    if now and not stop:
        raise typer.BadParameter("goes with --stop", param_hint="--now")
    if until is None and (pilot or cpus or ram_mib):
        raise typer.BadParameter("must be given too", param_hint="--until")
    if until is not None and detach:
        raise typer.BadParameter("goes with a node in the foreground only", param_hint="--until")
    chosen = {"gpu": gpu_only, "cpu": cpu_only, "io": io_only, "cloud": cloud_only}
    named: set[str] = {name for name, is_chosen in chosen.items() if is_chosen} | {*(lane or ())}
    lanes: tuple[Lane, ...] = tuple(each for each in LANES if not named or each in named)
    settings = settings_here()
    set_up(settings.logs_dir, "node")
    if stop:
        raise typer.Exit(stop_node(settings, now))
    if detach:
        raise typer.Exit(detach_node(settings, lanes, drain_for))
    term = None if until is None else term_of(seconds_until(until), pilot, cpus, ram_mib)
    raise typer.Exit(
        run_node(
            settings,
            open_ledger,
            lanes,
            should_stop=lambda: term is not None and term.is_due,
            drain_for_s=drain_for,
            term=term,
        )
    )


def seconds_until(word: str) -> float:
    from conductor.base.moments import seconds_from_now

    try:
        return seconds_from_now(word)
    except ValueError as e:
        raise typer.BadParameter(str(e), param_hint="--until") from None


def dashboard(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The first port to try; 0 takes any.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="In the background; returns when it listens.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the one in the background.")] = False,
) -> None:
    """rq-dashboard on loopback, for looking only.

    Example: conductor dashboard --port 9181
    """
    from conductor.base.logs.logs import set_up
    from conductor.views.dashboard import detach_dashboard, serve_dashboard, stop_dashboard

    settings = settings_here()
    set_up(settings.logs_dir, "dashboard")
    if stop:
        raise typer.Exit(stop_dashboard(settings.layout))
    if detach:
        raise typer.Exit(detach_dashboard(settings.layout, port))
    with redis_address(settings) as url:
        raise typer.Exit(serve_dashboard(settings.dashboard, settings.redis, settings.state_dir, url, port))
