"""The door for models: `conductor mcp`."""

from __future__ import annotations

import typer

from conductor.app.cli.context import settings_here


def register(app: typer.Typer) -> None:
    app.command()(mcp)


def mcp() -> None:
    """Let a model look, by the Model Context Protocol on stdin and stdout; the client of the model starts it.

    It asks the web process that runs here (`conductor up`, `conductor web`). For looking only, unless
    mcp.may_act is set. Over HTTP it is at /mcp, behind the token, where mcp.over_http is set.

    Example: conductor mcp
    """
    import anyio

    from conductor.app.model_door.door import ModelDoor
    from conductor.base.logs.logs import set_up
    from conductor.client import Client

    settings = settings_here()
    set_up(settings.logs_dir, "mcp")
    door = ModelDoor(lambda actor: Client.here(settings.project, actor=actor), may_act=settings.mcp.may_act)
    anyio.run(door.serve_stdio)
