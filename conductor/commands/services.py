"""Long-running parts: up, down, node, dashboard."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from conductor.commands.context import redis_address, settings_here


class LaneName(StrEnum):
    """typer takes no list of a Literal."""

    gpu = "gpu"
    cpu = "cpu"
    io = "io"
    cloud = "cloud"


def register(app: typer.Typer) -> None:
    for command in (node, dashboard):
        app.command()(command)


def node(
    lanes: Annotated[
        list[LaneName] | None, typer.Option("--lane", metavar="LANE", help="This lane only; may be given again.")
    ] = None,
) -> None:
    """This host's workers and probe: what a second host runs.

    Beside one `conductor conduct` or `conductor up` somewhere, on the same Redis.

    Ctrl-C once: the jobs in hand are finished. Twice: stop at once; they go back to the backlog.

    Example: conductor node --lane gpu --lane io
    """
    from conductor.logs import set_up
    from conductor.model.spec import LANES
    from conductor.node.run import run_node
    from conductor.wiring import open_ledger

    settings = settings_here()
    set_up(settings.logs_dir, "node")
    raise typer.Exit(run_node(settings, open_ledger, tuple(lane for lane in LANES if not lanes or lane in lanes)))


def dashboard(
    port: Annotated[int | None, typer.Option(help="The first port to try; 0 takes any.")] = None,
) -> None:
    """rq-dashboard on loopback, for looking only.

    Example: conductor dashboard --port 9181
    """
    from conductor.dashboard import serve_dashboard
    from conductor.logs import set_up

    settings = settings_here()
    set_up(settings.logs_dir, "dashboard")
    with redis_address(settings) as url:
        raise typer.Exit(serve_dashboard(settings, url, port))
