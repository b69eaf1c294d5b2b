"""A store in a SQLite file: a write-ahead log, one writer at a time, the others wait."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Literal
from urllib.parse import quote

from conductor.base.errors import ConductorError, StatementRefused, StoreFault
from conductor.base.files.write_ahead_log import enter_write_ahead_log
from conductor.base.text import printable
from conductor.model.calls import Trouble
from conductor.ports.store import SqlRow, SqlValue

#: By SQLite's primary result code: what it says of the file, and not of the statement.
_TROUBLES: dict[int, tuple[Trouble, str]] = {
    sqlite3.SQLITE_BUSY: ("busy", "another program holds its lock"),
    sqlite3.SQLITE_LOCKED: ("busy", "another program holds its lock"),
    sqlite3.SQLITE_FULL: ("busy", "its disk is full"),
    sqlite3.SQLITE_NOMEM: ("busy", "no memory is left"),
    sqlite3.SQLITE_IOERR: ("down", "its disk answers with an error"),
    sqlite3.SQLITE_PROTOCOL: ("busy", "another program holds its lock"),
    sqlite3.SQLITE_CANTOPEN: ("refuses", "it cannot be opened"),
    sqlite3.SQLITE_READONLY: ("refuses", "it cannot be written"),
    sqlite3.SQLITE_PERM: ("refuses", "it cannot be written"),
    sqlite3.SQLITE_AUTH: ("refuses", "it cannot be written"),
    sqlite3.SQLITE_CORRUPT: ("refuses", "it is damaged"),
    sqlite3.SQLITE_NOTADB: ("refuses", "it is no SQLite file"),
}
#: So much the index of a log grows at once.
_INDEX_BYTES = 32 << 10
#: Rows that are fetched at once while somebody reads.
_AT_ONCE = 500


class SqliteStore:
    """A connection for each thread that works with it, kept for the next one."""

    kind: Literal["sqlite"] = "sqlite"

    def __init__(self, name: str, file: Path, lock_s: float, *, is_read_only: bool = False) -> None:
        self.place = str(file)
        self._name, self._file, self._lock_s, self._is_read_only = name, file, lock_s, is_read_only
        self._turn = Lock()
        self._free: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self.answered_at = time.monotonic()
        # Whoever opens a store hears at once what is wrong with it.
        with self._lent():
            pass

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def read(self, sql: str, values: Sequence[SqlValue] = ()) -> Iterator[SqlRow]:
        with self._lent() as db, self._understood():
            cursor = db.execute(sql, bound(values))
            while rows := cursor.fetchmany(_AT_ONCE):
                yield from rows

    @contextmanager
    def transaction(self) -> Generator[SqliteTransaction]:
        with self._in_turn(), self._lent() as db, self._understood():
            # Immediate: who read first and writes then would be refused where another one wrote meanwhile.
            db.execute("BEGIN IMMEDIATE")
            yield SqliteTransaction(db)
            db.execute("COMMIT")

    def close(self) -> None:
        with suppress(Empty):
            while True:
                self._free.get_nowait().close()

    @contextmanager
    def _in_turn(self) -> Generator[None]:
        """Threads of one body wait for each other here: at the file they would only try again and again."""
        if not self._turn.acquire(timeout=self._lock_s):
            words = "another thread of this job holds its lock"
            raise StoreFault(f"store {self._name} ({self.place}): {words}", "busy")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _lent(self) -> Generator[sqlite3.Connection]:
        """A connection of the caller's own, as if new when it comes back."""
        try:
            db = self._free.get_nowait()
        except Empty:
            db = self._opened()
        try:
            yield db
            self.answered_at = time.monotonic()
        finally:
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            self._free.put(db)

    def _opened(self) -> sqlite3.Connection:
        mode = "ro" if self._is_read_only else "rwc"
        with self._understood():
            db = sqlite3.connect(
                f"file:{quote(str(self._file))}?mode={mode}",
                uri=True,
                timeout=self._lock_s,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                # What the file itself brings along (triggers, views) calls nothing that reaches beyond it.
                db.execute("PRAGMA trusted_schema = OFF")
                if self._is_read_only:
                    db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
                else:
                    # A job is done when its rows are on the disk: every commit is synced.
                    db.execute("PRAGMA synchronous = FULL")
                    enter_write_ahead_log(db, self._lock_s)
            except BaseException:
                db.close()
                raise
            return db

    @contextmanager
    def _understood(self) -> Generator[None]:
        """What SQLite raises, as what it means."""
        try:
            yield
        except sqlite3.Error as e:
            raise self._meant(e) from None
        except UnicodeEncodeError as e:
            raise StatementRefused(
                f"store {self._name}: a text holds half of a letter ({e.reason})"
            ) from None
        except OverflowError:
            raise StatementRefused(f"store {self._name}: a number is too large for it") from None

    def _meant(self, e: sqlite3.Error) -> ConductorError:
        code = getattr(e, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_IOERR and self._is_full():
            code = sqlite3.SQLITE_FULL
        if code in _TROUBLES:
            trouble, words = _TROUBLES[code]
            return StoreFault(f"store {self._name} ({self.place}): {words} ({printable(str(e))})", trouble)
        return StatementRefused(f"store {self._name}: {printable(str(e))}")

    def _is_full(self) -> bool:
        """Where the index of the log, a file grown beforehand, finds no room, SQLite says «I/O error»."""
        try:
            return shutil.disk_usage(self._file.parent).free < _INDEX_BYTES
        except OSError:
            return False


class SqliteTransaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, sql: str, values: Sequence[SqlValue] = ()) -> int:
        return max(0, self._db.execute(sql, bound(values)).rowcount)

    def many(self, sql: str, rows: Iterable[Sequence[SqlValue]]) -> int:
        return max(0, self._db.executemany(sql, map(bound, rows)).rowcount)

    def rows(self, sql: str, values: Sequence[SqlValue] = ()) -> list[SqlRow]:
        return self._db.execute(sql, bound(values)).fetchall()


def bound(values: Sequence[SqlValue]) -> dict[str, SqlValue]:
    """To SQLite `$1` is a name."""
    return {str(n): value for n, value in enumerate(values, 1)}
