"""corpus.apply: annotations made by another job go into a SQLite corpus. Applied twice, they are there
once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from conductor.base.errors import BadInput, JobError, NoSpace, PublishFailed
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, read_of, shown

#: How long to wait while another job writes to the same corpus.
BUSY_S = 60.0

TABLE = "CREATE TABLE IF NOT EXISTS annotations (document_id PRIMARY KEY, annotation TEXT NOT NULL)"
#: The document's own id, in its own type; nothing where it has an annotation already, so that a second time
#: adds none.
INSERT = """INSERT INTO annotations (document_id, annotation)
SELECT id, :annotation FROM documents
WHERE {match} AND NOT EXISTS (SELECT 1 FROM annotations WHERE document_id = documents.id)"""
IS_THERE = "SELECT 1 FROM documents WHERE {match}"
#: An id is text in JSON. The second form finds it in a column that compares numbers and text as they are.
MATCHES = ("id = :id", "CAST(id AS TEXT) = :id")


class ApplyArgs(Args, frozen=True, kw_only=True):
    #: `root:relative` of the SQLite file; default: the first of `updates`.
    corpus: str | None = None
    #: JSON lines {"id", "annotation"}; default: the first read.
    annotations: str | None = None
    #: A higher number applies the same annotations once more, to a corpus that lost them.
    round: int = 1


@task(
    "corpus.apply", lane="io", needs=Needs(ram_mib=64), timeout_s=600, retry={"task_error": 5, "no_space": 5}
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: corpus (default: the first of `updates`), annotations (default: the first read), round. One
    transaction. Result: {"added", "present"}."""
    given = parse(args, ApplyArgs)
    rows = list(lines_of(ctx.input(read_of(ctx, given.annotations, 0, "annotations"))))
    path = update_of(ctx, given.corpus)
    corpus, name = ctx.update(path), shown(path)
    leave_if_told(ctx)
    try:
        with closing(sqlite3.connect(corpus, timeout=BUSY_S, isolation_level=None)) as db:
            added = apply(db, rows, name)
    except sqlite3.DatabaseError as e:
        raise understood(e, name) from e
    return {"added": added, "present": len(rows) - added}


def update_of(ctx: JobContext, given: str | None) -> str:
    """A corpus that the line does not declare is refused: nobody who reads its manifest would know that it
    changes.
    """
    updates = ctx.spec.updates
    if given is None and updates:
        return updates[0]
    if given not in updates:
        named = "it" if given is None else repr(given)
        raise BadInput(
            f"args.corpus: {named} is not among the job's updates; list the corpus there, and plan again"
        )
    return given


def lines_of(file: Path) -> Iterator[tuple[str, str]]:
    """(document id, annotation as JSON) of each line. Raises `BadInput`."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
                yield str(value["id"]), json.dumps(value["annotation"], ensure_ascii=False, sort_keys=True)
            except (ValueError, KeyError, TypeError):
                raise BadInput(f"line {number} of {file.name} is not an annotation") from None


def apply(db: sqlite3.Connection, rows: list[tuple[str, str]], name: str) -> int:
    """Add what is not there yet, all of it or nothing; the number of rows added."""
    # What the file itself brings along (triggers, views) calls nothing that reaches beyond it.
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(TABLE)
        added = sum(insert(db, document, annotation, name) for document, annotation in rows)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return added


def insert(db: sqlite3.Connection, document: str, annotation: str, name: str) -> int:
    for match in MATCHES:
        if db.execute(IS_THERE.format(match=match), {"id": document}).fetchone():
            values = {"id": document, "annotation": annotation}
            return max(0, db.execute(INSERT.format(match=match), values).rowcount)
    raise BadInput(f"the corpus {name} has no document {document!r}")


def understood(e: sqlite3.DatabaseError, name: str) -> JobError:
    """What SQLite meant, as a cause."""
    words = str(e)
    if "full" in words:
        return NoSpace(f"no room left for the corpus {name}")
    if "readonly" in words or "unable to open" in words:
        return PublishFailed(f"the corpus {name} cannot be written to")
    if "not a database" in words or "no such table" in words or "no such column" in words:
        return BadInput(f"{name} is not a corpus with documents(id, text): {words}")
    return JobError(f"the corpus {name}: {words}")
