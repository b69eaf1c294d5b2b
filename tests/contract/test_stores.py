"""What a store is for a body, whichever server holds it: SQLite and PostgreSQL, the same SQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from postgres_server import PASSWORD, PostgresServer

from conductor.adapters.stores.open_store import open_store
from conductor.base.errors import ConductorError, ConfigError, StatementRefused, StoreFault
from conductor.base.settings.settings import Settings, load
from conductor.ports.store import SqlStore
from conductor.views.doctor.stores import of_stores

KINDS = ("sqlite", "postgresql")
ITEMS = "CREATE TABLE item (id TEXT PRIMARY KEY, words TEXT, count INTEGER NOT NULL DEFAULT 0)"
UPSERT = """INSERT INTO item (id, words, count) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET words = excluded.words, count = excluded.count"""
#: What strangers write into rows; a NUL is for the test below.
HOSTILE = (
    "'; DROP TABLE item; --",
    "$1 %s ? :1 {0} %",
    "\N{SMILING FACE WITH SUNGLASSES} e\u0301 \u202e",
    "\x1b[2J\r\n\t\\",
    '{"a": "\\u0000"}',
    "",
    "x" * 100_000,
)


def declare(folder: Path, url: str, *more: str) -> Settings:
    lines = ["[roots.data]", f'path = "{folder}/data"', "[stores.main]", f'url = "{url}"', *more]
    (folder / "conductor.toml").write_text("\n".join(lines))
    return load(folder)


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if request.param == "sqlite":
        return declare(tmp_path, "sqlite:data/main.db", "lock_s = 1")
    server: PostgresServer = request.getfixturevalue("postgres")
    monkeypatch.setenv("STORE_PASSWORD", PASSWORD)
    return declare(tmp_path, server.url(server.database()), 'password_env = "STORE_PASSWORD"', "lock_s = 1")


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    with closing(open_store(settings.for_code, "main", 4)) as store:
        with store.transaction() as change:
            change.execute(ITEMS)
        yield store


def all_rows(store: SqlStore) -> list[tuple[object, ...]]:
    return list(store.read("SELECT id, words, count FROM item ORDER BY id"))


def test_rows_are_written_and_read_back_as_they_were(store: SqlStore) -> None:
    rows = [(f"{n:02}", words, n) for n, words in enumerate(HOSTILE)]
    with store.transaction() as change:
        assert change.many(UPSERT, rows) == len(rows)

    assert all_rows(store) == rows
    assert list(store.read("SELECT id FROM item WHERE words = $1", (HOSTILE[0],))) == [("00",)]


def test_a_row_written_twice_is_there_once(store: SqlStore) -> None:
    for words in ("first", "second"):
        with store.transaction() as change:
            change.execute(UPSERT, ("a", words, 1))

    assert all_rows(store) == [("a", "second", 1)]
    with store.transaction() as change:
        again = change.execute(
            "INSERT INTO item (id, count) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", ("a", 2)
        )
    assert again == 0


def test_what_raises_leaves_nothing_behind(store: SqlStore) -> None:
    with pytest.raises(RuntimeError, match="killed"), store.transaction() as change:
        change.execute(UPSERT, ("a", "half", 1))
        assert change.rows("SELECT words FROM item WHERE id = $1", ("a",)) == [("half",)]
        raise RuntimeError("killed")

    assert all_rows(store) == []
    with store.transaction() as change:
        change.execute(UPSERT, ("b", "whole", 1))
    assert all_rows(store) == [("b", "whole", 1)]


def test_what_is_committed_is_on_the_disk_also_where_the_server_is_content_with_less(store: SqlStore) -> None:
    ask = {
        "sqlite": "SELECT CASE synchronous WHEN 2 THEN 'on' END FROM pragma_synchronous",
        "postgresql": "SELECT current_setting('synchronous_commit')",
    }
    with store.transaction() as change:
        assert change.rows(ask[store.kind]) == [("on",)]


def test_threads_share_it_and_every_count_is_kept(store: SqlStore) -> None:
    with store.transaction() as change:
        change.execute(UPSERT, ("a", "", 0))
    faults = list[ConductorError]()

    def add() -> None:
        try:
            for _ in range(10):
                with store.transaction() as change:
                    change.execute("UPDATE item SET count = count + 1 WHERE id = $1", ("a",))
        except ConductorError as e:
            faults.append(e)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert all_rows(store) == [("a", "", 80)]


def test_a_long_read_sees_one_moment(store: SqlStore) -> None:
    with store.transaction() as change:
        change.many(UPSERT, ((f"{n:05}", "", n) for n in range(5000)))
    reading = store.read("SELECT id FROM item ORDER BY id")
    first = next(reading)
    with store.transaction() as change:
        change.execute("DELETE FROM item")

    assert (first, sum(1 for _ in reading)) == (("00000",), 4999)


def test_a_statement_that_is_none_is_the_statements_fault(store: SqlStore) -> None:
    for sql in ("SELECT * FROM nowhere", "SELECT nothing FROM item", "SELEKT"):
        with pytest.raises(StatementRefused, match=r"^store main: ") as caught:
            list(store.read(sql))
        assert "\n" not in str(caught.value)
    with pytest.raises(StatementRefused, match=r"^store main: "), store.transaction() as change:
        change.execute("INSERT INTO item (id, count) VALUES ($1, $2)", ("a", None))
    assert all_rows(store) == []


def test_a_lock_that_stays_is_the_stores_fault_for_a_while(store: SqlStore) -> None:
    with store.transaction() as change:
        change.execute(UPSERT, ("a", "", 0))
    with store.transaction() as holds:
        holds.execute(UPSERT, ("a", "held", 1))
        with pytest.raises(StoreFault, match=r"holds (its|the) lock") as caught, store.transaction() as waits:
            waits.execute(UPSERT, ("a", "waited", 2))
    assert caught.value.trouble == "busy"
    assert all_rows(store) == [("a", "held", 1)]


def test_who_only_looks_changes_nothing(store: SqlStore, settings: Settings) -> None:
    with closing(open_store(settings.for_code, "main", is_read_only=True)) as looks:
        assert list(looks.read("SELECT * FROM item")) == []
        with pytest.raises((StoreFault, StatementRefused)), looks.transaction() as change:
            change.execute(UPSERT, ("a", "", 0))
        assert looks.version().lower().startswith(looks.kind[:6])
    assert all_rows(store) == []


def test_a_store_of_another_name_is_not_known(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"no \[stores.mian\], did you mean main\?"):
        open_store(settings.for_code, "mian")


def test_doctor_says_its_version_or_in_a_sentence_why_it_cannot_be_used(
    store: SqlStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = of_stores(settings.for_code)
    assert (found.mark, found.words) == ("ok ", f"{store.version()} at {store.place}")
    if store.kind == "postgresql":
        monkeypatch.setenv("STORE_PASSWORD", "not-the-one")
        (found,) = of_stores(settings.for_code)
        assert found.mark == "BAD" and "password authentication failed" in found.words
        assert "not-the-one" not in repr(found)
