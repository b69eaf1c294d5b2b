"""Redis users: the ACL file of a Redis that several hosts share."""

from __future__ import annotations

import typer

from conductor.app.cli.context import AsJson, emit, settings_here


def register(app: typer.Typer) -> None:
    app.command()(acl)


def acl(as_json: AsJson = False) -> None:
    """An ACL file for Redis or Valkey with fresh passwords, told on stderr once.

    Users: conductor (dispatches and leads), worker (a node), reader (the dashboard), admin (you). Nobody else
    gets in. With redis.prefix the first three carry it in their names and reach its keys only: of the files
    of several projects take one whole, and of the others the lines of their own users. The file holds hashes
    only. Each host's password goes into its CONDUCTOR_REDIS__URL.

    Example: conductor acl > users.acl    (then: aclfile /etc/valkey/users.acl)
    """
    from conductor.app.redis_acl import acl_text, users
    from conductor.base.redis_keys import Keys

    found = users(Keys(settings_here(begins=True).redis.prefix))
    if as_json:
        emit({"acl": acl_text(found), "users": {user.name: user.password for user in found}})
        return
    typer.echo(acl_text(found), nl=False)
    typer.echo("Passwords, not shown again (redis://USER:PASSWORD@HOST:6379):", err=True)
    width = max(len(user.name) for user in found)
    for user in found:
        typer.echo(f"  {user.name:{width}}  {user.password}", err=True)
