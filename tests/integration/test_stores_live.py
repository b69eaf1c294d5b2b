"""Real workers and a real PostgreSQL that is killed, shuts its door, or has no room: every row once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chat_scene import WORKERS, at_work, conducting, put
from postgres_server import PASSWORD, PostgresServer

from conductor.adapters.open_ledger import connect
from conductor.base.settings.settings import Settings
from conductor.core.admission.sentences import words_of
from conductor.model.job_class import class_of
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import WorkerScene, a_scene, wait_until

JOBS = 12
KEY = "store:main"

TASKS = '''
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
'''


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, job TEXT NOT NULL)")
        connection.execute("CREATE TABLE total AS SELECT 0 AS jobs")
    yield name
    if not postgres.is_up:
        postgres.start()


@pytest.fixture
def scene(
    project: Settings,
    ledger: Ledger,
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[WorkerScene]:
    monkeypatch.setenv("MAIN_PASSWORD", PASSWORD)
    url = postgres.url(database)
    more = f'[stores.main]\nurl = "{url}"\npassword_env = "MAIN_PASSWORD"\nlock_s = 5\n'
    scene = a_scene(project, ledger, more, TASKS)
    yield scene
    scene.close()


def jobs(scene: WorkerScene, **args: str) -> list[JobSpec]:
    specs = [
        a_spec(n, task="stock.add", args={"store": "main", "n": n, **args}, writes=())
        for n in range(1, JOBS + 1)
    ]
    assert set(class_of(specs[0], scene.catalogue["stock.add"], "night").needs.rates) == {KEY}
    return specs


def counts(scene: WorkerScene) -> dict[str, int]:
    return dict(scene.ledger.tallies.counts("night"))


def all_done(scene: WorkerScene) -> None:
    wait_until(lambda: counts(scene).get("done") == JOBS, "all are done", scene.story)


def is_shut(scene: WorkerScene) -> bool:
    return KEY in scene.ledger.calls.endpoint_faults()


def every_row_is_there_once(postgres: PostgresServer, database: str) -> None:
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT jobs FROM total").fetchall() == [(JOBS,)]
        assert connection.execute("SELECT id FROM item ORDER BY id").fetchall() == [
            (n,) for n in range(1, JOBS + 1)
        ]


def failed(scene: WorkerScene) -> set[object]:
    return {receipt.cause for receipt in scene.receipts() if receipt.outcome == "failed"}


def test_a_server_killed_in_the_middle_holds_what_needs_it_and_every_row_is_there_once(
    scene: WorkerScene, redis_url: str, postgres: PostgresServer, database: str
) -> None:
    begun, until = scene.folder / "begun", scene.folder / "until"
    put(scene, jobs(scene, begun=str(begun), until=str(until)))
    at_work(scene)
    with conducting(scene, redis_url):
        wait_until(begun.exists, "one is in the middle of its transaction", scene.story)
        postgres.kill()
        until.touch()
        wait_until(lambda: is_shut(scene), "its gate is shut", scene.story)
        assert scene.ledger.calls.endpoint_faults()[KEY].trouble == "down"
        assert len(scene.receipts()) <= WORKERS, "what lay in the queue was not tried"
        postgres.start()
        all_done(scene)
    every_row_is_there_once(postgres, database)
    assert failed(scene) == {"store_shut"}
    assert not is_shut(scene)


def test_a_wrong_password_lets_all_wait_and_a_word_opens(
    scene: WorkerScene, redis_url: str, postgres: PostgresServer, database: str
) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE ROLE other LOGIN PASSWORD 'quite-another'")
    config = scene.folder / "conductor.toml"
    config.write_text(config.read_text().replace("//conductor@", "//other@"))
    put(scene, jobs(scene))
    at_work(scene)

    def said() -> set[str]:
        gates = scene.ledger.gate_record.gates()
        return {words_of(v) for hold in gates.holds for v in hold.closed if v.is_refused}

    with conducting(scene, redis_url):
        wait_until(lambda: counts(scene).get("waiting") == JOBS and bool(said()), "all wait", scene.story)
        (words,) = said()
        assert 'password authentication failed for user "other"' in words
        assert f"`conductor resume {KEY}`" in words
        with postgres.connect(database) as connection:
            connection.execute(f"ALTER ROLE other PASSWORD '{PASSWORD}'")
            connection.execute("GRANT ALL ON item, total TO other")
        assert scene.ledger.calls.open_rate(KEY)
        all_done(scene)
    every_row_is_there_once(postgres, database)
    assert failed(scene) == {"store_shut"}
    with connect(redis_url) as client:
        held = [key for key in client.scan_iter() if PASSWORD.encode() in (client.dump(key) or b"")]
    written = [f for f in scene.folder.rglob("*") if f.is_file() and PASSWORD.encode() in f.read_bytes()]
    assert (held, written) == ([], [])


def test_a_server_that_has_no_place_left_is_asked_again(
    scene: WorkerScene, redis_url: str, postgres: PostgresServer, database: str
) -> None:
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE crowded LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1")
    with postgres.connect(database) as connection:
        connection.execute("GRANT ALL ON item, total TO crowded")
    config = scene.folder / "conductor.toml"
    config.write_text(config.read_text().replace("//conductor@", "//crowded@"))
    put(scene, jobs(scene))
    at_work(scene)
    with conducting(scene, redis_url):
        all_done(scene)
    every_row_is_there_once(postgres, database)
    assert failed(scene) <= {"store_shut"}
