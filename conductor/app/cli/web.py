"""The HTTP API and the page: `conductor web`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, answer, redis_address, settings_here

if TYPE_CHECKING:
    from conductor.app.model_door.door import ModelDoor
    from conductor.base.settings.web_settings import McpSettings


def register(app: typer.Typer) -> None:
    app.command()(web)


def web(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The first port to try; 0 takes any.")
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Log a browser in, once: print the address for it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The HTTP API and the page.

    A part of `up`. For looking only until web.token_env is set. With --link the one that runs is asked.

    Examples: conductor web; conductor web --link
    """
    settings = settings_here()
    if link:
        from conductor.app.web_link import web_link

        address = web_link(settings.state_dir)
        answer(as_json, {"url": address}, address)
        return
    from conductor.adapters.open_ledger import connect, redis_ledger
    from conductor.app.web.application import make_app
    from conductor.app.web.rights import door_of
    from conductor.app.web.serve import serve_web
    from conductor.app.web.stack import Stack
    from conductor.base.logs.event_feed import feeding
    from conductor.base.logs.logs import set_up
    from conductor.base.redis_keys import Keys
    from conductor.base.signing import signer_of

    set_up(settings.logs_dir, "web")
    door = door_of(settings.web, os.environ)
    open_to_models = model_door(settings.project, settings.mcp) if settings.mcp.over_http else None
    with redis_address(settings) as url, connect(url) as client:
        signer = signer_of(settings.redis.signing_key_env)
        stack = Stack(
            ledger=redis_ledger(client, signer, Keys(settings.redis.prefix)),
            code=settings.for_code,
            valkey=settings.valkey,
            lease_s=settings.timing.lease_s,
            schedules=settings.schedules,
        )
        first = settings.web.port if port is None else port
        with feeding(stack.ledger.events.append, "web"):
            raise typer.Exit(
                serve_web(
                    make_app(stack, door, settings.hooks, open_to_models),
                    settings.web.bind,
                    first,
                    settings.state_dir,
                )
            )


def model_door(project: Path, mcp: McpSettings) -> ModelDoor:
    """Raises `ConfigError` where the extra is not installed."""
    from conductor.app.model_door.door import ModelDoor
    from conductor.client import Client

    return ModelDoor(lambda actor: Client.here(project, actor=actor), may_act=mcp.may_act)
