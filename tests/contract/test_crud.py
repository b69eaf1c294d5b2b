"""The life of rows in a store: broken off anywhere and taken up, by two bodies at once, by many threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PASSWORD, PostgresServer
from task_bench import JOB_ID, Bench

from conductor.base.errors import BadInput, JobError
from conductor.planning import open_store
from workers.crud.lifecycle import STEPS, TABLES, CrudPart, lived, told
from workers.task_api.context import Stopped
from workers.task_api.store import make_tables
from workers.tasks import crud

KINDS = ("sqlite", "postgresql")
PARTS = "SELECT part, writes, created, updated, deleted FROM system_test_parts WHERE job = $1 ORDER BY part"
CONFIG = '[roots.data]\npath = "data"\nheadroom_bytes = 0\n[stores.main]\nurl = "{url}"\n{more}'


class Killed(Exception):
    pass


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    url, more = "sqlite:data/main.db", ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("STORE_PASSWORD", PASSWORD)
        name, role = server.database(), f"few_{server.port}"
        with server.connect(name) as connection:
            # More connections than a job was told to use are refused it.
            make = f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 2"
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchall():
                connection.execute(make.encode())
            connection.execute(f"GRANT ALL ON SCHEMA public TO {role}".encode())
        url, more = server.url(name, role), 'password_env = "STORE_PASSWORD"'
    (tmp_path / "conductor.toml").write_text(CONFIG.format(url=url, more=more))
    return Bench(tmp_path)


def parts(bench: Bench, job: str = JOB_ID) -> list[tuple[int, ...]]:
    """What the store has of a job's parts; no row of any job may be left."""
    with open_store(bench.settings.for_code, "main") as store:
        assert list(store.read("SELECT * FROM system_test_items")) == []
        return list(store.read(PARTS, (job,)))


def after(steps: int, then: Callable[[], object]) -> Callable[[object], None]:
    """For `on_step`: calls `then` when so many were done."""
    done = list[object]()

    def on_step(step: object) -> None:
        done.append(step)
        if len(done) == steps:
            then()

    return on_step


def kill() -> None:
    raise Killed


def test_a_life_that_is_broken_off_anywhere_goes_on_from_there(bench: Bench) -> None:
    with bench.context().store("main") as store:
        make_tables(store, TABLES, "system_test_parts")
        for steps in range(1, 2 * len(STEPS)):
            part = CrudPart(f"broken-{steps}", 0, 2, 3, "ü")
            with pytest.raises(Killed):
                lived(store, part, after(steps, kill))
            lifecycle = told([lived(store, part, lambda step: None)])["lifecycle"]

            assert [(each["step"], each["rows"]) for each in lifecycle] == [(step, 6) for step in STEPS]
            assert all("at" in each for each in lifecycle if not each["step"].startswith("read"))
            writes = sum(each.get("earlier", 0) for each in lifecycle if not each["step"].startswith("read"))
            assert writes == 3 * sum(step % 5 in (0, 2, 4) for step in range(steps))
    assert all(parts(bench, f"broken-{n}") == [(0, 6, 6, 6, 6)] for n in range(1, 2 * len(STEPS)))


def test_of_two_bodies_of_a_job_the_one_that_is_late_leaves(bench: Bench) -> None:
    with bench.context().store("main") as store, bench.context().store("main") as other:
        make_tables(store, TABLES, "system_test_parts")
        # Before it reads, before it updates, and before it creates what the other has deleted already.
        for steps in (1, 2, 5):
            part = CrudPart(f"late-{steps}", 0, 2, 3)
            on_step = after(steps, lambda p=part: lived(other, p, lambda step: None))
            with pytest.raises(JobError, match="another attempt of this job has gone on"):
                lived(store, part, on_step)
    assert all(parts(bench, f"late-{steps}") == [(0, 6, 6, 6, 6)] for steps in (1, 2, 5))


def test_more_threads_than_connections_take_turns(bench: Bench) -> None:
    given = {"store": "main", "threads": 6, "connections": 2, "rounds": 4}
    result = bench.run(crud.stress, given)

    assert [(each["step"], each["rows"]) for each in result["lifecycle"]] == [(step, 24) for step in STEPS]
    assert {step: sum(counts.values()) for step, counts in result["latency"].items()} == dict.fromkeys(
        STEPS, 24
    )
    assert parts(bench) == [(n, 12, 4, 4, 4) for n in range(6)]
    assert (bench.progress[-1], result["rows"]) == (1.0, 24)

    again: dict[str, Any] = bench.run(crud.stress, given)
    assert [each["earlier"] for each in again["lifecycle"]] == [24] * 5
    assert parts(bench) == [(n, 12, 4, 4, 4) for n in range(6)]


def test_who_has_to_leave_goes_on_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"store": "main", "threads": 2, "connections": 2, "rounds": 20}
    ctx = bench.context(args=given)
    monkeypatch.setattr(ctx, "should_stop", lambda: True)
    with pytest.raises(Stopped):
        crud.stress(given, ctx)
    assert bench.run(crud.stress, given)["rows"] == 40
    assert parts(bench) == [(n, 60, 20, 20, 20) for n in range(2)]


def test_a_nul_in_a_text_is_the_jobs_own_fault_where_the_server_takes_none(bench: Bench) -> None:
    given = {"store": "main", "rows": 2, "text": "a\x00b"}
    if bench.settings.stores["main"].is_sqlite:
        assert bench.run(crud.run, given)["rows"] == 2
        return
    with pytest.raises(BadInput, match=r"^store main: .*NUL"):
        bench.run(crud.run, given)
    assert parts(bench) == [(0, 0, 0, 0, 0)], "the gate heard of no fault, and nothing was written"
