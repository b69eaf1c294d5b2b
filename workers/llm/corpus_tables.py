"""A corpus in a store: documents(id, text), annotations(document_id, annotation); the one SQL that each
server takes fastest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import cast

from conductor.base.errors import BadInput, StatementRefused
from conductor.ports.store import SqlStore, SqlTransaction

#: In SQLite a document's id keeps the type that it has there.
TABLE = {
    "sqlite": "CREATE TABLE IF NOT EXISTS annotations (document_id PRIMARY KEY, annotation TEXT NOT NULL)",
    "postgresql": "CREATE TABLE IF NOT EXISTS annotations "
    "(document_id TEXT PRIMARY KEY, annotation TEXT NOT NULL)",
}
IS_THERE = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = 'annotations'",
    "postgresql": "SELECT 1 WHERE to_regclass('annotations') IS NOT NULL",
}
DOCUMENTS = """SELECT CAST(d.id AS TEXT), CAST(d.text AS TEXT) FROM documents d
WHERE length(d.text) > 0 {gap} ORDER BY d.id"""
#: PostgreSQL does not compare a number with a text.
GAP = {
    "sqlite": "AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.document_id = d.id)",
    "postgresql": "AND NOT EXISTS (SELECT 1 FROM annotations a "
    "WHERE CAST(a.document_id AS TEXT) = CAST(d.id AS TEXT))",
}
TWICE = (
    "SELECT CAST(document_id AS TEXT) FROM annotations GROUP BY document_id HAVING count(*) > 1 ORDER BY 1"
)
INSERT = """INSERT INTO annotations (document_id, annotation)
SELECT d.id, $2 FROM documents d WHERE {match} {gap} ON CONFLICT DO NOTHING"""
FOUND = "SELECT 1 FROM documents d WHERE {match}"
#: The second form finds a number in a column that compares numbers and texts as they are.
MATCHES = ("d.id = $1", "CAST(d.id AS TEXT) = $1")
TYPE = """SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass('documents') AND attname = 'id'"""


def gaps(store: SqlStore) -> Iterator[tuple[str, str]]:
    """(id, text) of every document with a text and without an annotation, by id."""
    has_annotations = bool(list(store.read(IS_THERE[store.kind])))
    gap = GAP[store.kind] if has_annotations else ""
    yield from cast("Iterator[tuple[str, str]]", store.read(DOCUMENTS.format(gap=gap)))


def twice(store: SqlStore) -> list[str]:
    """Ids of documents with more than one annotation."""
    if not list(store.read(IS_THERE[store.kind])):
        return []
    return [identity for (identity,) in store.read(TWICE)]


def apply(store: SqlStore, rows: Sequence[tuple[str, str]], name: str) -> int:
    """Annotations (id, JSON) for those documents that have none: all of them in one transaction, or nothing.
    How many were added. Raises `BadInput` for an id that no document has."""
    if store.kind == "postgresql":
        # It refuses one of two that make the same table in the same moment: the table is there then.
        with suppress(StatementRefused), store.transaction() as change:
            change.execute(TABLE[store.kind])
    with store.transaction() as change:
        change.execute(TABLE[store.kind])
        matches = _matches(store, change)
        added = 0
        for identity, annotation in rows:
            match = next((m for m in matches if change.rows(FOUND.format(match=m), (identity,))), None)
            if match is None:
                raise BadInput(f"the corpus {name} has no document {identity!r}")
            insert = INSERT.format(match=match, gap=GAP[store.kind])
            added += change.execute(insert, (identity, annotation))
        return added


def _matches(store: SqlStore, change: SqlTransaction) -> Sequence[str]:
    if store.kind == "sqlite":
        return MATCHES
    # In the type of its column, so that the index is used.
    found = change.rows(TYPE)
    return (f"d.id = CAST($1 AS {found[0][0]})",) if found else MATCHES[1:]
