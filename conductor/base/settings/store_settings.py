"""`[stores.NAME]`: the databases that jobs work on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Meta

from conductor.base.settings.base_section import Section, Validator
from conductor.base.settings.sections import Root

STORE_NAME = r"[a-z][a-z0-9_-]{0,39}"
SQLITE = "sqlite:"
POSTGRESQL = ("postgresql://", "postgres://")


def _checked_url(url: str) -> str:
    if "\x00" in url or any(ord(c) < 32 for c in url):
        raise ValueError("holds control characters")
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        if not path or path.startswith("//") or path.endswith("/"):
            raise ValueError('names no file: write "sqlite:data/NAME.db", without slashes behind the colon')
        return url
    if not url.startswith(POSTGRESQL):
        raise ValueError('is to begin with "sqlite:" or "postgresql://"')
    try:
        parts = urlsplit(url)
        port, has_password = parts.port, parts.password is not None
    except ValueError as e:
        # Of several hosts (`a:1,b:2`) the port is none; libpq reads these itself.
        if "," not in url:
            raise ValueError(f"is no address: {e}") from None
        port, has_password = None, ":" in url.partition("://")[2].rpartition("@")[0]
    if port == 0:
        raise ValueError("is no address: there is no port 0")
    if has_password or any(name == "password" for name, _ in parse_qsl(url.partition("?")[2])):
        raise ValueError(
            "holds a password, and this file is read by many: leave it out, put it into an environment "
            "variable and name that in password_env"
        )
    return url


class StoreSettings(Section, frozen=True, kw_only=True):
    """A database that jobs work on: a SQLite file of this project, or a PostgreSQL server."""

    #: `sqlite:data/NAME.db` (a file below a root), or `postgresql://USER@HOST:PORT/DATABASE` with what libpq
    #: takes behind a `?` (`sslmode=verify-full`).
    url: Annotated[str, Validator(_checked_url)]
    #: Name of the environment variable that holds the password; the password itself is never written down.
    password_env: str | None = None
    #: A job that waits for so long for another one's lock goes back, at no cost.
    lock_s: Annotated[float, Meta(gt=0, le=3600)] = 60.0

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith(SQLITE)

    @property
    def database(self) -> str:
        """Of a PostgreSQL server."""
        return unquote(urlsplit(self.url).path.removeprefix("/"))

    def file(self, project: Path) -> Path:
        """Of SQLite: where it lies."""
        return Path(os.path.normpath(project / Path(self.url.removeprefix(SQLITE)).expanduser()))

    def rooted(self, project: Path, roots: Mapping[str, Root]) -> str | None:
        """Of SQLite: `root:relative`, by the innermost root that holds it; None where none does."""
        file = self.file(project)
        holding = [(name, root.path) for name, root in roots.items() if file.is_relative_to(root.path)]
        if not holding:
            return None
        name, folder = max(holding, key=lambda each: len(each[1].parts))
        return f"{name}:{file.relative_to(folder)}"


def checked_stores(stores: dict[str, StoreSettings]) -> dict[str, StoreSettings]:
    for name, store in stores.items():
        if not re.fullmatch(STORE_NAME, name):
            raise ValueError(f"{name!r} is to be up to 40 small letters, digits, - and _, a letter first")
        if store.is_sqlite and store.password_env:
            raise ValueError(f"{name}.password_env: a SQLite file has no password")
    return stores


def rootless(stores: Mapping[str, StoreSettings], project: Path, roots: Mapping[str, Root]) -> str | None:
    """The first SQLite file that jobs could not write, in words."""
    for name, store in stores.items():
        if store.is_sqlite and store.rooted(project, roots) is None:
            file = store.file(project)
            return (
                f"stores.{name}: {file} lies in no root, and jobs write below roots only: add "
                f'[roots.{_root_name(file)}] with path = "{file.parent}"'
            )
    return None


def _root_name(file: Path) -> str:
    name = re.sub(r"[^a-z0-9_]+", "_", file.parent.name.lower())
    return name if re.fullmatch(r"[a-z][a-z0-9_]*", name) else "data"
