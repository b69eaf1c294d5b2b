"""Who comes while another one holds the file waits: SQLite itself would refuse at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conductor.base.files import write_ahead_log
from conductor.base.files.write_ahead_log import enter_write_ahead_log
from conductor.record.index import schema


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def holder(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN EXCLUSIVE")
        yield db


def test_it_is_entered_when_the_other_one_lets_go(
    file: Path, holder: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 3:
            holder.execute("COMMIT")

    monkeypatch.setattr(write_ahead_log.time, "sleep", rest)
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as db:
        enter_write_ahead_log(db, 60)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",) and len(rests) == 3


def test_whoever_waited_long_enough_is_told(file: Path, holder: sqlite3.Connection) -> None:
    with (
        closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as db,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        enter_write_ahead_log(db, 0.02)


def test_a_fault_that_no_waiting_cures_is_told_at_once(file: Path) -> None:
    file.write_bytes(b"no database at all " * 99)
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as db,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        enter_write_ahead_log(db, 60)


def test_an_index_that_somebody_holds_is_not_taken_for_a_broken_one(
    file: Path, holder: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_WAIT_S", 0.02)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        schema.make(file)
    holder.execute("COMMIT")
    assert holder.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)] and file.exists()
