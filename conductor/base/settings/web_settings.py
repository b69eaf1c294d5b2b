"""`[web]`, `[dashboard]` and `[mcp]`: the doors by which one looks, and acts."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import Meta

from conductor.base.settings.base_section import Section, Validator


def checked_address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


class Dashboard(Section, frozen=True, kw_only=True):
    """rq-dashboard on loopback, for looking only."""

    #: Started by `conductor up` and by the demo.
    is_on: bool = True
    #: The first to try.
    port: Annotated[int, Meta(ge=0, le=65535)] = 9181
    #: Where the pages read, as the ACL's `reader`. None: redis.url (the project's own Valkey has a reader of
    #: its own).
    redis_url: str | None = None
    #: Name of the environment variable that holds the password of the pages (user: any). None: no login.
    password_env: str | None = None


class Web(Section, frozen=True, kw_only=True):
    """The HTTP API and the page (`conductor web`): for looking only, until a token is configured."""

    #: Started by `conductor up` and by the demo.
    is_on: bool = True
    #: The address it listens on. One that is not this host's own (127.0.0.1, ::1) needs a token.
    bind: Annotated[str, Validator(checked_address)] = "127.0.0.1"
    #: The first to try; 0 takes any.
    port: Annotated[int, Meta(ge=0, le=65535)] = 9280
    #: Name of the environment variable that holds the token. With it one may act, and from other hosts look.
    #: None: nobody acts by HTTP, except over the socket in the state folder, which is its owner's alone.
    token_env: str | None = None
    #: Names by which browsers may call it, beside `localhost` and its address: a proxy's in front of it.
    allowed_hosts: tuple[str, ...] = ()


class McpSettings(Section, frozen=True, kw_only=True):
    """The door for models (`conductor mcp`, Model Context Protocol): for looking only, until `may_act`."""

    #: A model may plan, dispatch and cancel: what the token of the HTTP API may, of the tools that there are.
    may_act: bool = False
    #: The web process has the door too, at `/mcp`, for who has its token. Needs the extra `mcp`.
    over_http: bool = False
