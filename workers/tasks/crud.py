"""crud.cycle, crud.sleep_cycle: a real create, read, update, delete in a SQLite file of the attempt's own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import JobError, NoSpace
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse

NEEDS = Needs(ram_mib=64, scratch_bytes=1 << 20)
#: Between two looks at should_stop while a latency is simulated.
NAP_S = 0.05


class CycleArgs(Args, frozen=True, kw_only=True):
    rows: Annotated[int, Meta(ge=1, le=100_000)] = 10
    #: Only tells jobs of one plan apart.
    index: int = 0


class SleepCycleArgs(CycleArgs, frozen=True, kw_only=True):
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.1


@task("crud.cycle", lane="cpu", needs=NEEDS, timeout_s=120, retry={"task_error": 1})
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: rows (default 10), index. Result: {"lifecycle": [{"step", "rows"}, …], "rows"}."""
    given = parse(args, CycleArgs)
    return cycle(ctx, given.rows, lambda share: None)


@task("crud.sleep_cycle", lane="io", needs=NEEDS, timeout_s=3600 * 6, retry={"task_error": 1})
def run_slowly(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: as crud.cycle, and `seconds` to wait after each step: a store with latency. Same result."""
    given = parse(args, SleepCycleArgs)
    return cycle(ctx, given.rows, lambda share: wait_s(ctx, given.seconds, share))


def cycle(ctx: JobContext, rows: int, pause: Callable[[float], None]) -> dict[str, Any]:
    """All steps on one database; `pause` is called after each with the share done."""
    lifecycle: list[dict[str, Any]] = []
    with closing(sqlite3.connect(ctx.scratch / "cycle.sqlite")) as db:
        db.execute(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, value INTEGER NOT NULL, version INTEGER NOT NULL)"
        )
        try:
            for step, found, expected in steps(db, rows):
                if found != expected:
                    raise JobError(f"{step} touched {found} rows, expected {expected}")
                lifecycle.append({"step": step, "rows": found})
                ctx.progress(len(lifecycle) / 5, step)
                pause(len(lifecycle) / 5)
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise NoSpace("the scratch disk filled up under the database") from None
            raise
    return {"lifecycle": lifecycle, "rows": rows}


def steps(db: sqlite3.Connection, rows: int) -> Iterator[tuple[str, int, int]]:
    """(step, rows it touched, rows it should have touched), each committed before the next begins."""
    with db:
        done = db.executemany("INSERT INTO item VALUES (?, ?, 1)", ((n, n * n) for n in range(rows)))
    yield "create", done.rowcount, rows
    read = db.execute("SELECT id, value FROM item").fetchall()
    yield "read", sum(value == n * n for n, value in read), rows
    with db:
        done = db.execute("UPDATE item SET value = value + 1, version = 2 WHERE version = 1")
    yield "update", done.rowcount, rows
    read = db.execute("SELECT id, value FROM item WHERE version = 2").fetchall()
    yield "read again", sum(value == n * n + 1 for n, value in read), rows
    with db:
        done = db.execute("DELETE FROM item")
    yield "delete", done.rowcount, rows


def wait_s(ctx: JobContext, seconds: float, share: float) -> None:
    """Simulated latency that a stop ends early. Raises `JobError` (cancelled) then."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        leave_if_told(ctx)
        time.sleep(min(NAP_S, left))
        ctx.progress(share, "waiting")
