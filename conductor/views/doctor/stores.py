"""Are the stores there: reachable, of which version, and may jobs write to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.errors import ConductorError, ConfigError
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings
    from conductor.base.settings.store_settings import StoreSettings
    from conductor.ports.store import SqlStore

#: Where tables are made, may this user make one; tables there that it may not write to; is it a standby.
RIGHTS = """SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE'),
    (SELECT min(relname) FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
        AND NOT (has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE'))),
    pg_is_in_recovery()"""


def of_stores(settings: CodeSettings) -> Iterator[DoctorFinding]:
    """Each is opened once, and left as it is."""
    for name, declared in settings.stores.items():
        yield of_store(settings, name, declared)


def of_store(settings: CodeSettings, name: str, declared: StoreSettings) -> DoctorFinding:
    from conductor.adapters.stores.open_store import open_store

    what = f"store {name}"
    if declared.is_sqlite and not declared.file(settings.project).exists():
        return less(
            what, f"{declared.file(settings.project)} is not there", "the first job that writes makes it"
        )
    try:
        with closing(open_store(settings, name, is_read_only=True)) as store:
            words = f"{store.version()} at {store.place}"
            fault, remedy = _lacking(store)
    except ConfigError as e:
        words, _, advice = str(e).rpartition(": ")
        return bad(what, words or str(e), advice if words else f"see stores.{name} in conductor.toml")
    except ConductorError as e:
        words = str(e).removeprefix(f"store {name} ")
        return bad(what, words, f"jobs of it wait meanwhile; then `conductor resume store:{name}`")
    return bad(what, f"{words}: {fault}", remedy) if fault else ok(what, words)


def _lacking(store: SqlStore) -> tuple[str, str]:
    """(What jobs may not do there, what to do about it); empty: nothing."""
    if store.kind == "sqlite":
        closed = [
            path for path in (Path(store.place), Path(store.place).parent) if not os.access(path, os.W_OK)
        ]
        return (
            (f"{closed[0]} cannot be written by this user", f"chmod u+w {closed[0]}") if closed else ("", "")
        )
    schema, may_create, closed_table, is_standby = next(iter(store.read(RIGHTS)))
    if is_standby:
        return "it is a standby and takes no writes", "name the primary in its url"
    if schema is None or not may_create:
        return (
            f"this user may make no table in schema {schema or 'public'}",
            f"GRANT CREATE ON SCHEMA {schema or 'public'}",
        )
    if closed_table is not None:
        return (
            f"this user may not write to its table {closed_table}",
            f"GRANT INSERT, UPDATE ON {closed_table}",
        )
    return "", ""
