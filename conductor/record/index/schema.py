"""The tables of `state_dir/history.db`, and how it is opened. All of it can be made again from the record."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.base.files.write_ahead_log import enter_write_ahead_log, is_busy

#: Another one is thrown away and made anew.
VERSION = 4
#: A list goes by `job.k`: milliseconds of the moment above, and the job's number below so many bits, so that
#: a place in the list is one number.
TIE_BITS = 21
TIE_MASK = (1 << TIE_BITS) - 1
#: SQLite's integers have 63 bits.
LAST_KEY = (1 << 63) - 1
_MOST_MS = LAST_KEY >> TIE_BITS
#: So long somebody waits for another one's lock.
_WAIT_S = 10

#: `grp`: jobs that are alike in all that is filtered by name; how many there are, how long their last
#: attempts ran and on how many devices, is kept, never counted.
#: `job.bodies`: «o1.TOKEN f2.TOKEN s1.TOKEN»: ok, failed, superseded. `job.base`: what the record says.
#: `attempt.source`, `.place`: the file of the receipt, and where in it the line begins.
#: `live`: jobs of which the ledger said something else, when it was asked last.
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE source (name TEXT PRIMARY KEY, at INTEGER, mark TEXT) WITHOUT ROWID;
CREATE TABLE grp (g INTEGER PRIMARY KEY, state TEXT, cause TEXT, task TEXT, workflow TEXT, backlog TEXT,
  node TEXT, jobs INTEGER, seconds REAL, device_s REAL, UNIQUE (state, cause, task, workflow, backlog, node));
CREATE TABLE message (m INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE manifest (f INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT UNIQUE, g INTEGER, k INTEGER, file TEXT, manifest INTEGER,
  priority INTEGER, device TEXT, message INTEGER, asked_vram INTEGER, asked_ram INTEGER, used_vram INTEGER,
  used_ram INTEGER, dispatched_at REAL, started_at REAL, ended_at REAL, seconds REAL, bodies TEXT,
  forgiven INTEGER, base TEXT, line_order INTEGER);
CREATE INDEX job_list ON job (g, k);
CREATE INDEX job_said ON job (g, k) WHERE message > 0;
CREATE INDEX job_message ON job (message) WHERE message > 0;
CREATE TABLE attempt (n INTEGER, attempt INTEGER, token TEXT, outcome TEXT, cause TEXT, message INTEGER,
  node TEXT, device TEXT, started_at REAL, ended_at REAL, seconds REAL, vram INTEGER, ram INTEGER,
  source TEXT, place INTEGER, PRIMARY KEY (n, attempt, token, outcome)) WITHOUT ROWID;
CREATE INDEX attempt_when ON attempt (node, ended_at, started_at);
CREATE TABLE live (n INTEGER PRIMARY KEY, state TEXT, cause TEXT);
"""
#: Parts of names and messages are found by their trigrams, and looked at again: no text is kept twice.
SEARCH = """
CREATE VIRTUAL TABLE names USING fts5(file, content='', detail='none', columnsize=0, tokenize='trigram');
CREATE VIRTUAL TABLE words USING fts5(text, content='', detail='none', columnsize=0, tokenize='trigram');
"""


def connect(file: Path, *, is_reading: bool = False) -> sqlite3.Connection:
    """Raises `sqlite3.Error`. Autocommit; readers and one writer go beside each other (WAL)."""
    conn = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        enter_write_ahead_log(conn, _WAIT_S)
    except BaseException:
        conn.close()
        raise
    # What a power cut takes is fed again: nothing here is the only copy.
    conn.execute("PRAGMA synchronous = OFF")
    conn.execute(f"PRAGMA cache_size = -{8_000 if is_reading else 64_000}")
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.create_function("has", 2, _has, deterministic=True)
    return conn


def make(file: Path) -> sqlite3.Connection:
    """An index of this version, empty where there was none. Raises `sqlite3.Error`: also when in use."""
    conn = None
    try:
        conn = connect(file)
        if conn.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            conn.execute("SELECT count(*) FROM source").fetchone()
            return conn
    except sqlite3.Error as e:
        if is_busy(e):
            raise
        # No database, or a broken one: made again.
    if conn is not None:
        conn.close()
    remove(file)
    conn = connect(file)
    try:
        conn.executescript(TABLES)
        with suppress(sqlite3.OperationalError):  # This SQLite has no trigrams: names are read one by one.
            conn.executescript(SEARCH)
        conn.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        conn.close()
        raise
    return conn


def remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def is_current(conn: sqlite3.Connection) -> bool:
    try:
        return conn.execute("PRAGMA user_version").fetchone()[0] == VERSION
    except sqlite3.Error:
        return False


def has_search(conn: sqlite3.Connection) -> bool:
    return conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'names'").fetchone() is not None


@contextmanager
def transaction(conn: sqlite3.Connection) -> Generator[None]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")


def key_of(at: float, n: int = 0) -> int:
    return min(max(0, int(at * 1000)), _MOST_MS) << TIE_BITS | n & TIE_MASK


def moment_of_key(k: int) -> float:
    return (k >> TIE_BITS) / 1000


def _has(text: str | None, needle: str) -> bool:
    return text is not None and needle in text.lower()
