"""crud.cycle, crud.sleep_cycle, crud.stress: rows are created, read, updated and deleted in a store
(`[stores.NAME]`), or in a SQLite file of the attempt's own.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import JobError, NoSpace, StatementRefused, StoreFault
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.store import make_tables
from workers.task_api.toolkit import Args, leave_if_told, parse

if TYPE_CHECKING:
    from conductor.ports.store import SqlStore
    from workers.crud.lifecycle import LifecycleStep

NEEDS = Needs(ram_mib=64, scratch_bytes=1 << 20)
STRESS_NEEDS = Needs(cpu=1, ram_mib=128, scratch_bytes=16 << 20)
#: Between two looks at should_stop while a latency is simulated.
NAP_S = 0.05
#: In a file of the attempt's own its threads wait for each other for so long.
OWN_LOCK_S = 60.0

Threads = Annotated[int, Meta(ge=1, le=64)]


class CycleArgs(Args, frozen=True, kw_only=True):
    rows: Annotated[int, Meta(ge=1, le=100_000)] = 10
    #: Only tells jobs of one plan apart.
    index: int = 0
    #: `[stores.NAME]`; None: a SQLite file in the attempt's scratch folder.
    store: str | None = None
    #: What each row holds, and is read back.
    text: Annotated[str, Meta(max_length=1 << 20)] = ""


class SleepCycleArgs(CycleArgs, frozen=True, kw_only=True):
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.1


class StressArgs(Args, frozen=True, kw_only=True):
    index: int = 0
    store: str | None = None
    threads: Threads = 8
    #: Fewer than threads: they wait for each other's.
    connections: Threads = 4
    #: Each thread leads so many rows through their lives, one after the other.
    rounds: Annotated[int, Meta(ge=1, le=100_000)] = 25


@task("crud.cycle", lane="cpu", needs=NEEDS, timeout_s=120, retry={"task_error": 1}, store="{store}")
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, rows (default 10), text, index. Result: {"lifecycle": [{"step", "rows", "at", "took_s"},
    …], "latency", "rows", "server"}."""
    return cycle(ctx, parse(args, CycleArgs), 0.0)


@task(
    "crud.sleep_cycle",
    lane="io",
    needs=NEEDS,
    timeout_s=3600 * 6,
    retry={"task_error": 1},
    store="{store}",
)
def run_slowly(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: as crud.cycle, and `seconds` to wait after each step: a store with latency. Same result."""
    given = parse(args, SleepCycleArgs)
    return cycle(ctx, given, given.seconds)


@task(
    "crud.stress",
    lane="io",
    needs=STRESS_NEEDS,
    timeout_s=3600,
    retry={"task_error": 1},
    store="{store}",
)
def stress(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, threads (8), connections (4) that they share, rounds (25) of each, index. Same result."""
    from workers.crud.lifecycle import CrudPart, told
    from workers.crud.side_by_side import all_lived

    given = parse(args, StressArgs)
    parts = [CrudPart(ctx.job_id, n, given.rounds, 1) for n in range(given.threads)]
    with opened(ctx, given.store, given.connections) as store:
        records = all_lived(ctx, store, parts)
        server = store.version()
    return {**told(records), "rows": given.threads * given.rounds, "server": server}


def cycle(ctx: JobContext, given: CycleArgs, seconds: float) -> dict[str, Any]:
    """All steps of all rows together; `seconds` are waited after each."""
    from workers.crud.lifecycle import STEPS, CrudPart, lived, told

    def on_step(step: LifecycleStep) -> None:
        share = (STEPS.index(step) + 1) / len(STEPS)
        ctx.progress(share, step)
        wait_s(ctx, seconds, share)

    with opened(ctx, given.store, 1) as store:
        record = lived(store, CrudPart(ctx.job_id, 0, 1, given.rows, given.text), on_step)
        server = store.version()
    return {**told([record]), "rows": given.rows, "server": server}


@contextmanager
def opened(ctx: JobContext, name: str | None, connections: int) -> Generator[SqlStore]:
    """With its tables. Of an own file no gate is told: its faults are those of the scratch disk."""
    from workers.crud.lifecycle import TABLES

    if name is not None:
        with ctx.store(name, connections) as store:
            make_tables(store, TABLES, "system_test_parts")
            yield store
        return
    from conductor.adapters.stores.sqlite_store import SqliteStore

    try:
        with closing(SqliteStore("cycle", ctx.scratch / "cycle.sqlite", OWN_LOCK_S)) as store:
            make_tables(store, TABLES, "system_test_parts")
            yield store
    except (StoreFault, StatementRefused) as e:
        if "disk is full" in str(e):
            raise NoSpace("the scratch disk filled up under the database") from None
        raise JobError(str(e)) from None


def wait_s(ctx: JobContext, seconds: float, share: float) -> None:
    """Simulated latency that a stop ends early. Raises `JobError` (cancelled) then."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        leave_if_told(ctx)
        time.sleep(min(NAP_S, left))
        ctx.progress(share, "waiting")
