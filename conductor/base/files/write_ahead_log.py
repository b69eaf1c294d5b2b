"""SQLite's write-ahead log, entered in company."""

from __future__ import annotations

import sqlite3
import time

#: The other one makes the file or takes its log away: both are a matter of milliseconds.
_REST_S = 0.005


def enter_write_ahead_log(db: sqlite3.Connection, wait_s: float) -> None:
    """Readers and one writer of `db` go beside each other from here on. Waits for `wait_s` seconds; raises
    `sqlite3.Error`, with `SQLITE_BUSY` where another one still holds the file.

    SQLite asks no busy handler here, so that the timeout of the connection does not count: whoever comes
    while another one makes the file or, as the last who leaves, takes the log away, is refused at once
    (https://www.sqlite.org/wal.html, «Sometimes Queries Return SQLITE_BUSY In WAL Mode»).
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.Error as e:
            if not is_busy(e) or time.monotonic() >= give_up_at:
                raise
        time.sleep(_REST_S)


def is_busy(e: sqlite3.Error) -> bool:
    """Somebody else is at the file: nothing is wrong with it."""
    code = getattr(e, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
