"""Hashes of files that were read once, by what tells one state of a file from another: no terabyte is read
twice.

`STATE_DIR/hashes.db` and the like, SQLite. Nothing rests on them: where one cannot be used, files are read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from conductor.base.files.fingerprint import FileState, sha256_of
from conductor.base.files.safe_open import make_own

FILE = "hashes.db"
#: A file that changed just now may change again within one tick of its clock: its state says too little yet.
FRESH_S = 2.0
_WAIT_S = 5.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS hashes (path TEXT, device TEXT, inode TEXT, size INTEGER, mtime TEXT, "
    "ctime TEXT, "
    "sha256 TEXT, PRIMARY KEY (path)) WITHOUT ROWID"
)


class HashTable:
    """One file of them. May be used by many processes and threads at once."""

    def __init__(self, file: Path, boot: str = "") -> None:
        """`boot`: what was noted counts for as long as the host runs; a device's number means no more than
        that."""
        self._file = file
        self._boot = boot

    def known(self, path: Path, state: FileState) -> str | None:
        query = (
            "SELECT sha256 FROM hashes WHERE path = ? AND device = ? AND inode = ? AND size = ? "
            "AND mtime = ? "
            "AND ctime = ?"
        )
        if not self._file.exists():
            return None
        try:
            with closing(self._open()) as database:
                row = database.execute(query, (_named(path), *self._values(state))).fetchone()
                return None if row is None else str(row[0])
        except (sqlite3.Error, OSError):
            return None

    def note(self, path: Path, state: FileState, sha256: str) -> None:
        try:
            with closing(self._open()) as database, database:
                database.execute(
                    "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (_named(path), *self._values(state), sha256),
                )
        except (sqlite3.Error, OSError) as e:
            from loguru import logger

            logger.debug("{} cannot be used: {}", self._file, e)

    def _open(self) -> sqlite3.Connection:
        make_own(self._file.parent)
        database = sqlite3.connect(self._file, timeout=_WAIT_S)
        try:
            database.execute(_TABLE)
        except BaseException:
            database.close()
            raise
        return database

    def _values(self, state: FileState) -> tuple[str, str, int, str, str]:
        """Device and inode numbers, and nanoseconds, may be larger than SQLite's integers."""
        device = f"{self._boot}/{state.device}" if self._boot else str(state.device)
        return device, str(state.inode), state.size, str(state.mtime_ns), str(state.ctime_ns)


class HashCache:
    """Of inputs and models. May be used by many processes at once."""

    def __init__(self, state_dir: Path, now: Callable[[], float] = time.time) -> None:
        self._table = HashTable(state_dir / FILE)
        self._now = now

    def sha256(self, path: Path, state: FileState) -> str:
        """As `fingerprint.sha256_of`, and raises as it."""
        known = self._table.known(path, state)
        if known is not None:
            return known
        # Asked before it is read: a long look does not make a fresh file an old one.
        is_settled = self._now() - state.ctime_ns / 1e9 > FRESH_S
        found = sha256_of(path, state)
        if is_settled:
            self._table.note(path, state, found)
        return found


def _named(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()
