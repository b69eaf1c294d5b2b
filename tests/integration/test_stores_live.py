"""Real workers and a real PostgreSQL that is killed, shuts its door, or has no room; a worker killed in a
transaction, two that are in each other's way, a SQLite store whose disk is full: every row once.

One running system, asked one thing after the other: most of each is a gate's wait.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from chat_scene import WORKERS, at_work, conducting, put
from postgres_server import PASSWORD, PostgresServer

from conductor.adapters.open_ledger import connect
from conductor.adapters.stores.open_store import open_store
from conductor.base.settings.settings import Settings
from conductor.core.admission.sentences import words_of
from conductor.model.job_class import class_of
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import WorkerScene, a_scene, wait_until

JOBS = 5
KEY, FILE_KEY = "store:main", "store:file"
ROLE = "app"
PARTS = "SELECT writes, created, updated, deleted FROM system_test_parts WHERE job = $1"

TASKS = '''
def meet(args, mine):
    """Waits until the others named in the line are there too."""
    open(args["meet"][mine], "w").close()
    while not all(map(os.path.exists, args["meet"])):
        time.sleep(0.01)

@task("stock.add", lane="cpu", timeout_s=60.0, store="{store}")
def add(args, ctx):
    """A row of its own, one more on the count of all; may wait for a file in the middle."""
    with ctx.store(args["store"]) as store, store.transaction() as change:
        change.execute("UPDATE total SET jobs = jobs + 1")
        mine = "INSERT INTO item (id, job) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING"
        change.execute(mine, (args["n"], ctx.job_id))
        if "begun" in args and ctx.attempt == 1:
            open(args["begun"], "w").write("1")
            while not os.path.exists(args["until"]):
                time.sleep(0.01)
    return {"n": args["n"]}

@task("stock.cross", lane="cpu", timeout_s=60.0, store="{store}")
def cross(args, ctx):
    """Two rows, of which another job has the second one first."""
    with ctx.store(args["store"]) as store, store.transaction() as change:
        for n, row in enumerate(args["rows"]):
            change.execute("UPDATE pair SET jobs = jobs + 1 WHERE id = $1", (row,))
            if n == 0 and ctx.attempt == 1:
                meet(args, row)
    return {}
'''


@dataclass
class StoreScene:
    """What the acts have in common."""

    scene: WorkerScene
    postgres: PostgresServer
    database: str
    small: Path
    added: list[int] = field(default_factory=list[int])
    made: int = 0

    def spec(self, task: str, **args: Any) -> JobSpec:
        self.made += 1
        return a_spec(
            self.made, task=task, args={"store": "main", **args}, writes=(), lane="cpu",
            retry_wait={"server_error": 0.0},
        )  # fmt: skip

    def adding(self, **args: str) -> list[JobSpec]:
        """Jobs that are in the backlog from here on."""
        first = len(self.added)
        self.added += range(first, first + JOBS)
        specs = [self.spec("stock.add", n=n, **args) for n in self.added[first:]]
        assert set(class_of(specs[0], self.scene.catalogue["stock.add"], "night").needs.rates) == {KEY}
        put(self.scene, specs)
        return specs

    def doing(self, task: str, **args: Any) -> JobSpec:
        spec = self.spec(task, **args)
        put(self.scene, [spec])
        return spec

    def all_done(self, *specs: JobSpec) -> None:
        def is_done() -> bool:
            return {self.scene.state(spec) for spec in specs} == {"done"}

        wait_until(is_done, "all are done", self.scene.story)

    def trouble(self, key: str = KEY) -> str | None:
        fault = self.scene.ledger.calls.endpoint_faults().get(key)
        return None if fault is None else fault.trouble

    def is_in_trouble(self, trouble: str, key: str = KEY) -> None:
        wait_until(lambda: self.trouble(key) == trouble, f"{key} is closed as {trouble}", self.scene.story)

    def every_row_is_there_once(self) -> None:
        with self.postgres.connect(self.database) as connection:
            assert connection.execute("SELECT jobs FROM total").fetchall() == [(len(self.added),)]
            assert connection.execute("SELECT id FROM item ORDER BY id").fetchall() == [
                (n,) for n in self.added
            ]

    def failures(self, *specs: JobSpec) -> list[Receipt]:
        return [one for spec in specs for one in self.scene.receipts(spec) if one.outcome == "failed"]

    def tell(self, sql: str) -> None:
        with self.postgres.connect() as connection:
            connection.execute(sql.encode())


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, job TEXT NOT NULL)")
        connection.execute("CREATE TABLE total AS SELECT 0 AS jobs")
        connection.execute("CREATE TABLE pair AS SELECT id, 0 AS jobs FROM generate_series(0, 1) AS id")
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"GRANT ALL ON SCHEMA public TO {ROLE}")
        connection.execute(f"GRANT ALL ON item, total, pair TO {ROLE}")
    yield name
    if not postgres.is_up:
        postgres.start()
    with postgres.connect(name) as connection:
        connection.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


@pytest.fixture
def stores(
    project: Settings,
    ledger: Ledger,
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StoreScene]:
    monkeypatch.setenv("MAIN_PASSWORD", PASSWORD)
    url, small = postgres.url(database, ROLE), project.project / "small"
    more = f'[stores.main]\nurl = "{url}"\npassword_env = "MAIN_PASSWORD"\nlock_s = 5\n'
    more += '[roots.small]\npath = "small"\nheadroom_bytes = 0\n[stores.file]\nurl = "sqlite:small/file.db"\n'
    scene = a_scene(project, ledger, more, TASKS)
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(small)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield StoreScene(scene, postgres, database, small)
    scene.close()
    if is_mounted:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whatever_befalls_a_store_what_needs_it_waits_and_every_row_is_there_once(
    stores: StoreScene, redis_url: str
) -> None:
    scene = stores.scene
    at_work(scene)
    with conducting(scene, redis_url):
        two_in_each_other_s_way_cost_one_of_them_a_retry(stores)
        a_worker_killed_in_a_transaction_leaves_nothing_of_it(stores)
        a_wrong_password_lets_all_wait_and_a_word_opens(stores)
        one_that_has_no_place_left_is_asked_again(stores)
        a_server_killed_in_the_middle_holds_what_needs_it(stores)
        stores.every_row_is_there_once()
    with connect(redis_url) as client:
        held = [key for key in client.scan_iter() if PASSWORD.encode() in (client.dump(key) or b"")]
    written = [f for f in scene.folder.rglob("*") if f.is_file() and PASSWORD.encode() in f.read_bytes()]
    assert (held, written) == ([], [])


def two_in_each_other_s_way_cost_one_of_them_a_retry(stores: StoreScene) -> None:
    meet = [str(stores.scene.folder / f"met-{row}") for row in (0, 1)]
    one, other = (stores.doing("stock.cross", rows=rows, meet=meet) for rows in ([0, 1], [1, 0]))
    stores.all_done(one, other)
    (failed,) = stores.failures(one, other)
    assert (failed.cause, failed.attempt) == ("server_error", 1)
    assert "two jobs were in each other's way (deadlock detected" in failed.message
    assert stores.trouble() is None, "a single one closes nothing"
    with stores.postgres.connect(stores.database) as connection:
        assert connection.execute("SELECT DISTINCT jobs FROM pair").fetchall() == [(2,)]


def a_worker_killed_in_a_transaction_leaves_nothing_of_it(stores: StoreScene) -> None:
    first = stores.doing("crud.cycle", rows=7, index=1)
    stores.all_done(first)
    with stores.postgres.connect(stores.database) as connection, connection.transaction():
        connection.execute("LOCK TABLE system_test_items IN ACCESS EXCLUSIVE MODE")
        spec = stores.doing("crud.cycle", rows=7, index=2)
        wait_until(lambda: is_waiting(connection), "it is in its transaction", stores.scene.story)
        for worker in stores.scene.workers:
            for child in psutil.Process(worker.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
    stores.all_done(spec)
    assert {each.cause for each in stores.failures(spec)} == {"worker_lost"}
    with stores.postgres.connect(stores.database) as connection:
        assert connection.execute("SELECT * FROM system_test_items").fetchall() == []
        parts = "SELECT writes, created, updated, deleted FROM system_test_parts"
        assert connection.execute(parts).fetchall() == [(3, 7, 7, 7)] * 2


def is_waiting(connection: psycopg.Connection[Any]) -> bool:
    """The connection is in a transaction, which otherwise sees one moment."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = %s"
    return bool(connection.execute(waits, (ROLE,)).fetchall())


def a_wrong_password_lets_all_wait_and_a_word_opens(stores: StoreScene) -> None:
    stores.tell(f"ALTER ROLE {ROLE} PASSWORD 'quite-another'")
    specs = stores.adding()

    def said() -> set[str]:
        gates = stores.scene.ledger.gate_record.gates()
        return {words_of(v) for hold in gates.holds for v in hold.closed if v.is_refused}

    def all_wait() -> bool:
        return {stores.scene.state(spec) for spec in specs} == {"waiting"} and bool(said())

    wait_until(all_wait, "all wait", stores.scene.story)
    (words,) = said()
    assert f'password authentication failed for user "{ROLE}"' in words
    assert f"`conductor resume {KEY}`" in words
    stores.tell(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
    assert stores.scene.ledger.calls.open_rate(KEY)
    stores.all_done(*specs)
    assert {each.cause for each in stores.failures(*specs)} == {"store_unavailable"}


def one_that_has_no_place_left_is_asked_again(stores: StoreScene) -> None:
    """A server without a free connection, and beside it a file on a disk that is full."""
    is_small = psutil.disk_usage(str(stores.small)).total <= 1 << 20
    fill = stores.small / "fill"
    if is_small:
        with suppress(OSError), fill.open("wb", buffering=0) as file:
            while file.write(b"\0" * 512):
                pass
    stores.tell(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    specs, beside = stores.adding(), stores.doing("crud.stress", store="file", threads=3, rounds=2)
    stores.is_in_trouble("busy")
    stores.tell(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
    if is_small:
        stores.is_in_trouble("busy", FILE_KEY)
        fill.unlink()
    stores.all_done(*specs, beside)
    assert {each.cause for each in stores.failures(*specs)} == {"store_unavailable"}
    assert {each.cause for each in stores.failures(beside)} == ({"store_unavailable"} if is_small else set())
    assert all("its disk is full" in each.message for each in stores.failures(beside))
    with closing(open_store(stores.scene.settings.for_code, "file", is_read_only=True)) as store:
        assert list(store.read("SELECT * FROM system_test_items")) == []
        assert list(store.read(PARTS, (beside.id,))) == [(6, 2, 2, 2)] * 3


def a_server_killed_in_the_middle_holds_what_needs_it(stores: StoreScene) -> None:
    begun, until = stores.scene.folder / "begun", stores.scene.folder / "until"
    specs = stores.adding(begun=str(begun), until=str(until))
    wait_until(begun.exists, "one is in the middle of its transaction", stores.scene.story)
    stores.postgres.kill()
    until.touch()
    stores.is_in_trouble("down")
    tried = [one for spec in specs for one in stores.scene.receipts(spec)]
    assert len(tried) <= WORKERS, "what lay in the queue was not tried"
    stores.postgres.start()
    stores.all_done(*specs)
    assert {each.cause for each in stores.failures(*specs)} == {"store_unavailable"}
    assert stores.trouble() is None
