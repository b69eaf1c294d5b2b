"""The history index as everybody uses it: brought up to date, asked for a page, for one job, for all."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from conductor.adapters.files.receipt_log import receipts_of
from conductor.base.errors import ConfigError
from conductor.base.files.safe_open import make_own
from conductor.model.grouped_by import GroupedBy
from conductor.model.job_filter import JobFilter
from conductor.model.job_row import AttemptRow, JobRow, JobSums
from conductor.model.receipt import Receipt
from conductor.model.subject import named
from conductor.record.index import schema
from conductor.record.index.feed import OnFed, feed, feeder_lock
from conductor.record.index.indexed_job import COLUMNS, GROUP, IndexedJob, LiveState
from conductor.record.index.query import FoundJobs, JobQuery
from conductor.record.index.receipt_places import places_by_index, receipts_at
from conductor.record.index.schema import moment_of_key
from conductor.record.index.writer import IndexWriter

FILE = "history.db"
_ROWS = (
    f"SELECT {', '.join(f'job.{name}' for name in COLUMNS)}, {', '.join(f'grp.{name}' for name in GROUP)},"
    " job.k, coalesce(message.text, ''), coalesce(manifest.name, '')"
    " FROM job JOIN grp ON grp.g = job.g LEFT JOIN message ON message.m = job.message"
    " LEFT JOIN manifest ON manifest.f = job.manifest WHERE job.n IN (SELECT value FROM json_each(?))"
)
_ATTEMPTS = (
    "SELECT attempt.attempt, outcome, cause, coalesce(message.text, ''), node, attempt.device,"
    " attempt.started_at, attempt.ended_at, attempt.seconds, vram, ram FROM attempt"
    " LEFT JOIN message ON message.m = attempt.message WHERE n = (SELECT n FROM job WHERE id = ?)"
    " ORDER BY attempt.attempt, attempt.ended_at"
)
#: By the index on (node, ended_at, started_at): it costs by what ended on that host within a day of it.
_RAN_AT = (
    "SELECT job.id, grp.task, job.file, attempt.attempt, outcome, attempt.device, attempt.started_at,"
    " attempt.ended_at, attempt.seconds FROM attempt JOIN job ON job.n = attempt.n JOIN grp ON grp.g = job.g"
    " WHERE attempt.node = ? AND attempt.ended_at > ? AND attempt.ended_at < ? AND attempt.started_at < ?"
    " ORDER BY attempt.ended_at LIMIT ?"
)
DAY_S = 86400.0


class HistoryIndex:
    """Each thread has its own connection; a file that was deleted or replaced is opened anew."""

    def __init__(self, state_dir: Path, receipts_dir: Path) -> None:
        self.file = state_dir / FILE
        self._receipts_dir = receipts_dir
        self._local = threading.local()

    # ── up to date ────────────────────────────────────────────────────────────────────────────────────────

    def refresh(
        self,
        live: Mapping[str, LiveState] | None = None,
        on_fed: OnFed = lambda lines: None,
    ) -> bool:
        """All that came since; `live`: the jobs that are neither waiting nor done by the ledger, where it
        could be asked. False: somebody else is at it, and what is there is as of a moment ago.

        Raises `ConfigError` where the index cannot be written."""
        try:
            make_own(self.file.parent)
            with feeder_lock(self.file) as is_ours:
                if not is_ours:
                    return False
                conn = schema.make(self.file)
                try:
                    feed(conn, self._receipts_dir, on_fed)
                    if live is not None:
                        with schema.transaction(conn):
                            IndexWriter(conn).lay_over(live)
                finally:
                    conn.close()
                return True
        except (OSError, sqlite3.Error) as e:
            raise ConfigError(
                f"the history index {self.file} cannot be written ({e}): make room, or delete it: it is made "
                "again from the receipts"
            ) from None

    # ── asked ─────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, wanted: JobFilter, limit: int, cursor: int | None = None) -> FoundJobs:
        """Raises `ConfigError` where there is no index that can be read."""
        with self._reading() as conn:
            return self._query(conn, wanted).page(limit, cursor)

    def ids(self, wanted: JobFilter) -> Iterator[str]:
        """Of all that fit, the latest first."""
        with self._reading() as conn:
            numbers = [n for _, n in self._query(conn, wanted).all()]
            for first in range(0, len(numbers), 1000):
                part = numbers[first : first + 1000]
                marks = orjson.dumps(part).decode()
                statement = "SELECT n, id FROM job WHERE n IN (SELECT value FROM json_each(?))"
                names = dict(conn.execute(statement, (marks,)).fetchall())
                yield from (names[n] for n in part)

    def rows(self, numbers: Iterable[int]) -> tuple[JobRow, ...]:
        """In that order."""
        wanted = list(numbers)
        with self._reading() as conn:
            found = {row[0]: _row_of(row) for row in conn.execute(_ROWS, (orjson.dumps(wanted).decode(),))}
        return tuple(found[n] for n in wanted if n in found)

    def job(self, job_id: str) -> JobRow | None:
        with self._reading() as conn:
            found = conn.execute("SELECT n FROM job WHERE id = ?", (job_id,)).fetchone()
        return None if found is None else next(iter(self.rows(found)), None)

    def rows_of(self, ids: Sequence[str]) -> Mapping[str, JobRow]:
        """Those that are known."""
        statement = "SELECT n FROM job WHERE id IN (SELECT value FROM json_each(?))"
        with self._reading() as conn:
            numbers = [n for (n,) in conn.execute(statement, (orjson.dumps(list(ids)).decode(),))]
        return {row.job_id: row for row in self.rows(numbers)}

    def attempts(self, job_id: str) -> tuple[AttemptRow, ...]:
        with self._reading() as conn:
            rows = conn.execute(_ATTEMPTS, (job_id,)).fetchall()
        return tuple(_attempt_of(row) for row in rows)

    def ran_at(self, node: str, since: float, until: float, most: int = 200) -> list[RanAttempt]:
        """What ran there at any moment between, as far as it has ended; the first to end first."""
        with suppress(ConfigError), self._reading() as conn:
            rows = conn.execute(_RAN_AT, (node, since, until + DAY_S, until, most)).fetchall()
            return [RanAttempt(row[0], named(row[1], row[2]), _short_attempt(node, row[3:])) for row in rows]
        return []

    def receipts_of(self, job_id: str) -> tuple[Receipt, ...]:
        """All there are by now, whether the index knows them or not, in the order in which they were made:
        read at their places, or searched for in the files where no index tells these. Raises `OSError`."""
        places = None
        # No index, or a broken one: this needs none.
        with suppress(ConfigError), self._reading() as conn:
            places = places_by_index(conn, job_id)
        # Behind the look at the index: a share that hangs holds no transaction open.
        found = None if places is None else receipts_at(self._receipts_dir, job_id, places)
        mine = receipts_of(self._receipts_dir, job_id) if found is None else found
        return tuple(sorted(mine, key=lambda receipt: (receipt.attempt, receipt.ended_at)))

    def counts(self) -> dict[str, int]:
        """State → jobs."""
        with self._reading() as conn:
            return dict(conn.execute("SELECT state, sum(jobs) FROM grp GROUP BY state HAVING sum(jobs) > 0"))

    def names(self, most: int = 200) -> dict[str, dict[str, int]]:
        """Column of a filter → the names in it → jobs, those with most jobs first."""
        found: dict[str, dict[str, int]] = {}
        with self._reading() as conn:
            for column in GROUP:
                statement = (
                    f"SELECT {column}, sum(jobs) AS jobs FROM grp WHERE {column} != '' GROUP BY {column}"
                    " HAVING sum(jobs) > 0 ORDER BY 2 DESC LIMIT ?"
                )
                found[column] = dict(conn.execute(statement, (most,)).fetchall())
        return found

    def sums(self, wanted: JobFilter, by: GroupedBy | None = None, most: int = 100) -> JobSums:
        """Raises `ConfigError` where there is no index that can be read."""
        with self._reading() as conn:
            return self._query(conn, wanted).sums(by, most)

    def _query(self, conn: sqlite3.Connection, wanted: JobFilter) -> JobQuery:
        return JobQuery(conn, wanted, has_search=schema.has_search(conn))

    def _reading(self) -> _Reading:
        return _Reading(self._connection())

    def _connection(self) -> sqlite3.Connection:
        """The thread's own. Raises `ConfigError`."""
        try:
            there = os.stat(self.file)  # noqa: PTH116  at each question: no Path for it
            known: _Known | None = getattr(self._local, "known", None)
            if known is not None and known.inode == there.st_ino:
                return known.conn
            if known is not None:
                known.conn.close()
            conn = schema.connect(self.file, is_reading=True)
            if not schema.is_current(conn):
                conn.close()
                raise FileNotFoundError
        except FileNotFoundError:
            raise ConfigError(
                f"there is no history index yet ({self.file}): `conductor jobs` makes it"
            ) from None
        except (OSError, sqlite3.Error) as e:
            raise ConfigError(f"the history index {self.file} cannot be read: {e}") from None
        self._local.known = _Known(there.st_ino, conn)
        return conn


class _Known:
    """A thread's connection to the file of that inode. It is closed when the thread or the process ends."""

    def __init__(self, inode: int, conn: sqlite3.Connection) -> None:
        self.inode = inode
        self.conn = conn
        weakref.finalize(self, conn.close)


class _Reading:
    """One look, as of one instant. Raises `ConfigError` for what SQLite says of a broken file."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def __enter__(self) -> sqlite3.Connection:
        self._conn.execute("BEGIN")
        return self._conn

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._conn.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise ConfigError(
                f"the history index cannot be read: {error}; delete it, it is made again"
            ) from None


def _row_of(row: tuple[object, ...]) -> JobRow:
    at = len(COLUMNS) + len(GROUP)
    job = IndexedJob(*row[:at])  # type: ignore[arg-type]
    k, message, manifest = row[at:]
    return JobRow(
        job_id=job.id,
        state=job.state,  # type: ignore[arg-type]
        task=job.task,
        workflow=job.workflow,
        file=job.file,
        backlog=job.backlog,
        manifest=str(manifest),
        cause=job.cause,
        message=str(message),
        node=job.node,
        device=job.device,
        priority=job.priority,
        attempts=sum(sign[0] != "s" for sign in job.bodies.split()),
        asked_vram_mib=job.asked_vram,
        used_vram_mib=job.used_vram,
        asked_ram_mib=job.asked_ram,
        used_ram_mib=job.used_ram,
        dispatched_at=job.dispatched_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        seconds=job.seconds,
        at=moment_of_key(k),  # type: ignore[arg-type]
        proof=job.proof,  # type: ignore[arg-type]
    )


class RanAttempt(NamedTuple):
    """`subject`: what its job is about."""

    job_id: str
    subject: str
    attempt: AttemptRow


def _short_attempt(node: str, row: tuple[Any, ...]) -> AttemptRow:
    attempt, outcome, device, started_at, ended_at, seconds = row
    return AttemptRow(
        attempt=attempt,
        outcome=outcome,
        node=node,
        device=device,
        started_at=started_at,
        ended_at=ended_at,
        seconds=seconds,
    )


def _attempt_of(row: tuple[Any, ...]) -> AttemptRow:
    return AttemptRow(**dict(zip(AttemptRow.__struct_fields__, row, strict=True)))
