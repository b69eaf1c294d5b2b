"""Rows that are created, read, updated, read again and deleted in a store, each of it once.

A job has parts, each worked on by one thread. A write and the count of writes that a part has behind it are
one transaction: a body that comes after one that was killed goes on where that one's last commit left off,
and one that was taken for dead finds the count moved on and leaves.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from conductor.base.errors import JobError
from conductor.ports.store import SqlStore, SqlTransaction
from workers.crud.latencies import bucket_of

LifecycleStep = Literal["create", "read", "update", "read again", "delete"]
STEPS: tuple[LifecycleStep, ...] = ("create", "read", "update", "read again", "delete")
#: A round has so many writes; before the second and the third the rows are read.
WRITES: tuple[LifecycleStep, ...] = ("create", "update", "delete")
_READS: tuple[LifecycleStep, ...] = ("read", "read again")

TABLES = (
    """CREATE TABLE IF NOT EXISTS system_test_items (job TEXT NOT NULL, part INTEGER NOT NULL,
    item INTEGER NOT NULL, value BIGINT NOT NULL, version INTEGER NOT NULL, words TEXT NOT NULL,
    PRIMARY KEY (job, part, item))""",
    """CREATE TABLE IF NOT EXISTS system_test_parts (job TEXT NOT NULL, part INTEGER NOT NULL,
    writes BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL, deleted BIGINT NOT NULL,
    created_at DOUBLE PRECISION, updated_at DOUBLE PRECISION, deleted_at DOUBLE PRECISION,
    PRIMARY KEY (job, part))""",
)
BEGIN = """INSERT INTO system_test_parts (job, part, writes, created, updated, deleted)
VALUES ($1, $2, 0, 0, 0, 0) ON CONFLICT (job, part) DO NOTHING"""
PART = """SELECT writes, created_at, updated_at, deleted_at FROM system_test_parts
WHERE job = $1 AND part = $2"""
TAKE = "UPDATE system_test_parts SET writes = writes + 1 WHERE job = $1 AND part = $2 AND writes = $3"
COUNT: dict[str, str] = {
    name: f"UPDATE system_test_parts SET {column} = {column} + $3, {column}_at = $4 "
    "WHERE job = $1 AND part = $2"
    for name, column in (("create", "created"), ("update", "updated"), ("delete", "deleted"))
}
CREATE = """INSERT INTO system_test_items (job, part, item, value, version, words)
VALUES ($1, $2, $3, $4, 1, $5)"""
READ = """SELECT item, value, words FROM system_test_items
WHERE job = $1 AND part = $2 AND version = $3"""
UPDATE = """UPDATE system_test_items SET value = value + 1, version = 2
WHERE job = $1 AND part = $2 AND version = 1"""
DELETE = "DELETE FROM system_test_items WHERE job = $1 AND part = $2 AND version = 2"

OVERTAKEN = "another attempt of this job has gone on meanwhile: this one leaves"


class CrudPart(NamedTuple):
    """What one thread does: `rounds` times the life of `rows` rows, which hold `words`."""

    job: str
    number: int
    rounds: int
    rows: int
    words: str = ""


class StepRecord(Struct, kw_only=True):
    """Of one step, over all its rounds. `rows` counts what an attempt before had done as well; `at`: when the
    last of it was there (epoch seconds)."""

    rows: int = 0
    earlier: int = 0
    took_s: float = 0.0
    at: float | None = None
    #: Bucket of `latencies` → how many.
    latency: Counter[int]

    def add(self, rows: int, took_s: float) -> None:
        self.rows += rows
        self.took_s += took_s
        self.at = time.time()
        self.latency[bucket_of(took_s)] += 1


LifecycleRecord = dict[LifecycleStep, StepRecord]
OnStep = Callable[[LifecycleStep], None]


def lived(store: SqlStore, part: CrudPart, on_step: OnStep) -> LifecycleRecord:
    """From where the store says that this part is to its end. `on_step` is called after each step, and may
    raise. Raises `JobError` where a step touched other rows than it should."""
    record, begins = _begun(store, part)
    for place in range(begins, len(WRITES) * part.rounds):
        number = place % len(WRITES)
        if number > 0:
            step = _READS[number - 1]
            _timed(record[step], part, step, lambda p=place: _read(store, part, p))
            on_step(step)
        step = WRITES[number]
        _timed(record[step], part, step, lambda p=place, s=step: _write(store, part, p, s))
        on_step(step)
    return record


def _begun(store: SqlStore, part: CrudPart) -> tuple[LifecycleRecord, int]:
    """What attempts before this one have done, and how many writes that is."""
    with store.transaction() as change:
        change.execute(BEGIN, (part.job, part.number))
        ((writes, *at),) = change.rows(PART, (part.job, part.number))
    record: LifecycleRecord = {step: StepRecord(latency=Counter()) for step in STEPS}
    for n, (step, when) in enumerate(zip(WRITES, at, strict=True)):
        record[step].rows = record[step].earlier = (writes + 2 - n) // 3 * part.rows
        record[step].at = when
    # Read is before each write but the first.
    for read, write in zip(_READS, WRITES[1:], strict=True):
        record[read].rows = record[read].earlier = record[write].rows
    return record, writes


def _timed(record: StepRecord, part: CrudPart, step: LifecycleStep, work: Callable[[], int]) -> None:
    began = time.monotonic()
    rows = work()
    if rows != part.rows:
        raise JobError(f"{step} touched {rows} rows, expected {part.rows}")
    record.add(rows, time.monotonic() - began)


def _read(store: SqlStore, part: CrudPart, place: int) -> int:
    """How many rows are there as they should be."""
    version = place % len(WRITES)
    rows = store.read(READ, (part.job, part.number, version))
    found = sum(value == n * n + version - 1 and words == part.words for n, value, words in rows)
    if found != part.rows and [row[0] for row in store.read(PART, (part.job, part.number))] != [place]:
        raise JobError(OVERTAKEN)
    return found


def _write(store: SqlStore, part: CrudPart, place: int, step: LifecycleStep) -> int:
    mine = (part.job, part.number)
    with store.transaction() as change:
        # First: of two bodies the second waits here, and finds that it is too late.
        if change.execute(TAKE, (*mine, place)) != 1:
            raise JobError(OVERTAKEN)
        rows = _changed(change, part, step)
        change.execute(COUNT[step], (*mine, rows, time.time()))
    return rows


def _changed(change: SqlTransaction, part: CrudPart, step: LifecycleStep) -> int:
    mine = (part.job, part.number)
    if step == "create":
        return change.many(CREATE, ((*mine, n, n * n, part.words) for n in range(part.rows)))
    return change.execute(UPDATE if step == "update" else DELETE, mine)


def told(records: Iterable[LifecycleRecord]) -> dict[str, Any]:
    """As a receipt has it: {"lifecycle": [{"step", "rows", "at", "took_s"}, …], "latency": {step: {bucket:
    count}}}; "earlier": of the rows those that an attempt before had done."""
    every = list(records)
    lifecycle: list[dict[str, Any]] = []
    latency: dict[str, dict[str, int]] = {}
    for step in STEPS:
        mine = [record[step] for record in every]
        earlier, at = sum(one.earlier for one in mine), max((one.at or 0.0 for one in mine), default=0.0)
        lifecycle.append(
            {
                "step": step,
                "rows": sum(one.rows for one in mine),
                **({"at": round(at, 6)} if at else {}),
                "took_s": round(sum(one.took_s for one in mine), 6),
                **({"earlier": earlier} if earlier else {}),
            }
        )
        buckets = sum((one.latency for one in mine), Counter[int]())
        latency[step] = {str(bucket): buckets[bucket] for bucket in sorted(buckets)}
    return {"lifecycle": lifecycle, "latency": latency}
