"""A store by the name that conductor.toml gives it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conductor.adapters.stores.sqlite_store import SqliteStore
from conductor.base.errors import BadInput, ConfigError, PublishFailed, StoreFault
from conductor.base.files import paths
from conductor.base.settings.unknown_keys import did_you_mean

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings
    from conductor.base.settings.store_settings import StoreSettings
    from conductor.ports.store import SqlStore

INSTALL = "pip install 'conductor-jobs[postgres]'"


def open_store(
    settings: CodeSettings, name: str, connections: int = 1, *, is_read_only: bool = False
) -> SqlStore:
    """To be closed by who opens it. `connections`: so many threads may work with it at once.

    A SQLite file that is not there is made, unless only to be read. Raises `StoreFault` where it cannot be
    opened, `ConfigError` where conductor.toml has none of that name, or psycopg is missing."""
    declared = declared_store(settings, name)
    if declared.is_sqlite:
        file = _place(settings, name, declared, is_read_only)
        return SqliteStore(name, file, declared.lock_s, is_read_only=is_read_only)
    try:
        from conductor.adapters.stores.postgres_store import PostgresStore

        return PostgresStore(name, declared, connections, is_read_only=is_read_only)
    except ModuleNotFoundError as e:
        raise ConfigError(
            f"store {name} is a PostgreSQL server, and {e.name} is missing: {INSTALL}"
        ) from None


def declared_store(settings: CodeSettings, name: str) -> StoreSettings:
    if name not in settings.stores:
        known = ", ".join(sorted(settings.stores)) or "none yet"
        near = did_you_mean(name, settings.stores) or f" (there is: {known})"
        raise ConfigError(f"conductor.toml has no [stores.{name}]{near}")
    return settings.stores[name]


def _place(settings: CodeSettings, name: str, declared: StoreSettings, is_read_only: bool) -> Path:
    """Where its file lies: reached through no link, on a root that is mounted."""
    rooted = declared.rooted(settings.project, settings.roots)
    if rooted is None:
        raise ConfigError(f"stores.{name}: {declared.file(settings.project)} lies in no root")
    try:
        file = paths.resolve(settings, rooted, for_writing=True)
    except BadInput as e:
        raise ConfigError(f"stores.{name}: {e}") from None
    try:
        paths.check_mounted(settings, rooted.partition(":")[0])
    except PublishFailed as e:
        raise StoreFault(f"store {name} ({file}): {e}", "down") from None
    if is_read_only and not file.exists():
        raise StoreFault(f"store {name} ({file}): the file is not there", "refuses")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreFault(
            f"store {name} ({file}): its folder cannot be made: {e.strerror}", "refuses"
        ) from None
    return file
