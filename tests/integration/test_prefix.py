"""Projects that share one database by `redis.prefix`: each has its own ledger, queues, workers, users and
dashboard.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Cli, Result, conductor
from redis import Redis
from redis.exceptions import NoPermissionError

from conductor.adapters.open_ledger import connect, open_ledger, redis_ledger
from conductor.adapters.rates.rates import redis_rates
from conductor.app.redis_acl import (
    ADMIN,
    CONDUCTOR,
    READER,
    WORKER,
    a_user,
    acl_text,
    rules_of,
    users,
)
from conductor.base.redis_keys import PLAIN, Keys, checked_prefix
from conductor.base.settings.endpoint_settings import Rate
from conductor.base.settings.settings import Settings, load
from conductor.model.snapshot import Controls
from conductor.views import dashboard
from conductor.views.dashboard import make_app
from tests.ledger_scenes import an_entry, redis_scene
from workers.parent import rq_presence

MANIFEST = "manifests/system_test_debug_3.jsonl"
PREFIXES = ("one", "two", "")


def project(folder: Path, url: str, prefix: str) -> Path:
    folder.mkdir()
    line = f'prefix = "{prefix}"\n' if prefix else ""
    (folder / "conductor.toml").write_text(
        f"[redis]\nurl = '{url}'\n{line}[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
        "[roots.published]\npath = 'published'\nheadroom_bytes = 0\n"
        "[web]\nis_on = false\n[dashboard]\nis_on = false\n"
        "[lanes]\ncpu.workers = 1\nio.workers = 0\ncloud.workers = 0\n"
    )
    return folder


@pytest.fixture
def projects(tmp_path: Path, redis_url: str) -> dict[str, Path]:
    return {prefix: project(tmp_path / f"project-{prefix}", redis_url, prefix) for prefix in PREFIXES}


def put(folder: Path) -> Result:
    assert conductor("plan", "system_test", "--count", "3", cwd=folder).code == 0
    return conductor("dispatch", MANIFEST, cwd=folder)


def counts(folder: Path) -> dict[str, int]:
    with open_ledger(load(folder), is_lenient=True) as ledger:
        return {state: n for state, n in ledger.tallies.counts().items() if n}


def keys_by_prefix(client: Redis) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key in (raw.decode() for raw in client.scan_iter(count=1000)):
        head = key.split(":", 1)[0]
        found.setdefault("" if head in ("conductor", "rq") else head, set()).add(key)
    return found


@pytest.mark.slow
def test_three_projects_run_the_same_jobs_beside_each_other_on_one_database(
    projects: dict[str, Path], redis_url: str
) -> None:
    for folder in projects.values():
        assert put(folder).out == "backlog:system_test: 3 new, 0 known\n"

    # When all of them run at once
    argv = [sys.executable, "-m", "conductor", "conduct", "--until-done"]
    going = [
        subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for folder in projects.values()
    ]
    told = [process.communicate(timeout=120)[0] for process in going]

    # Then each has done its own, once, and nobody saw another's
    assert [process.returncode for process in going] == [0, 0, 0], "\n".join(told)
    ran: list[str] = []
    for folder in projects.values():
        assert conductor("verify", MANIFEST, cwd=folder).code == 0
        assert conductor("audit", cwd=folder).code == 0
        lines = [
            line for file in (folder / "receipts").glob("*.jsonl") for line in file.read_text().splitlines()
        ]
        receipts = [json.loads(line) for line in lines]
        assert len(receipts) == 3 and {receipt["outcome"] for receipt in receipts} == {"ok"}
        ran += [receipt["worker"] for receipt in receipts]
    with Redis.from_url(redis_url, protocol=2) as client:
        kept = keys_by_prefix(client)
    assert kept.keys() == set(PREFIXES)
    assert {name.removeprefix("one:") for name in kept["one"]} >= {
        "conductor:project",
        "conductor:state",
        "rq:queues",
    }


def test_the_operators_words_reach_their_own_project_only(projects: dict[str, Path], redis_url: str) -> None:
    for folder in projects.values():
        assert put(folder).code == 0
    one, two = projects["one"], projects["two"]
    job = json.loads((one / MANIFEST).read_text().splitlines()[0])["id"]
    assert conductor("cancel", job, cwd=one).code == 0
    assert conductor("pause", "cpu", cwd=one).code == 0
    assert conductor("drain", cwd=one).code == 0

    assert counts(one) == {"waiting": 2, "cancelled": 1}
    for folder in (two, projects[""]):
        with open_ledger(load(folder), is_lenient=True) as ledger:
            assert ledger.control.controls() == Controls()
        assert counts(folder) == {"waiting": 3}

    # What one loses only that one has to rebuild
    with Redis.from_url(redis_url, protocol=2) as client:
        client.delete(*keys_by_prefix(client)["one"])
        before = {key: client.dump(key) for key in client.keys("*")}
        assert conductor("rebuild", cwd=one).code == 0
        assert {key: client.dump(key) for key in before} == before
    assert counts(one) == {"waiting": 2, "cancelled": 1}


def test_a_prefix_in_use_by_another_project_is_refused_and_a_prefix_is_the_remedy(
    projects: dict[str, Path], tmp_path: Path, redis_url: str
) -> None:
    assert put(projects["one"]).code == 0
    late = project(tmp_path / "late", redis_url, "one")
    refused = put(late)
    assert refused.code == 3 and 'redis.prefix = "NAME"' in refused.err
    (late / "conductor.toml").write_text((late / "conductor.toml").read_text().replace('"one"', '"late"'))
    assert put(late).code == 0


@pytest.mark.parametrize("prefix", ["a b", "a:b", "a*", "ü", "a" * 65, "[a]", "a'"])
def test_a_prefix_that_a_pattern_or_a_key_could_not_hold_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="letters, digits, - and _ only"):
        checked_prefix(prefix)


@pytest.mark.parametrize("prefix", ["conductor", "rq"])
def test_a_prefix_that_a_project_without_one_begins_with_is_refused(tmp_path: Path, prefix: str) -> None:
    folder = project(tmp_path / "p", "redis://localhost:1/0", prefix)
    refused = conductor("config", "show", cwd=folder)
    assert refused.code == 3 and "redis.prefix" in refused.err and "take another word" in refused.err


def test_a_setting_spelled_nearly_so_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "redis://localhost:1/0", "one")
    file = folder / "conductor.toml"
    file.write_text(file.read_text().replace("prefix", "prefx"))
    assert "did you mean prefix?" in conductor("config", "show", cwd=folder).err


# ── users ─────────────────────────────────────────────────────────────────────────────────────────────────

NIGHT, DAY = Keys("night"), Keys("day")


def test_each_users_keys_begin_with_its_prefix() -> None:
    for keys in (NIGHT, DAY):
        for part in (CONDUCTOR, WORKER, READER):
            patterns = [rule.partition("~")[2] for rule in rules_of(keys)[part] if "~" in rule]
            assert patterns and all(pattern.startswith(f"{keys.prefix}:") for pattern in patterns)
    assert [user.name for user in users(NIGHT)] == ["conductor-night", "worker-night", "reader-night", ADMIN]
    assert [user.name for user in users(PLAIN)] == [CONDUCTOR, WORKER, READER, ADMIN]
    assert "~night:conductor:*" in acl_text(users(NIGHT))


@pytest.fixture
def night_url(redis_url: str) -> str:
    """As a user who reaches the keys of the project «night» and no others."""
    user = a_user(CONDUCTOR, "a password", NIGHT)
    with Redis.from_url(redis_url, protocol=2) as client:
        client.execute_command("ACL", "SETUSER", user.name, *user.rules)
        # A node leaves, and wakes a worker, which is the worker's word.
        client.execute_command("ACL", "SETUSER", user.name, "+client|unblock")
        client.acl_log_reset()
    return f"unix://{user.name}:a password@{redis_url.removeprefix('unix://')}"


@pytest.mark.slow
def test_every_command_gets_by_with_the_keys_of_its_prefix(
    tmp_path: Path,
    redis_url: str,
    night_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = project(tmp_path / "project", night_url, "night")
    monkeypatch.chdir(folder)
    here = Cli(folder, capsys, monkeypatch)
    assert put(folder).code == 0
    jobs = [json.loads(line)["id"] for line in (folder / MANIFEST).read_text().splitlines()]
    assert conductor("cancel", jobs[0], cwd=folder).code == 0
    assert conductor("conduct", "--until-done", cwd=folder).code in (0, 1)
    for words in (
        *(("status",), ("explain", jobs[0]), ("audit",), ("needs",), ("metrics",), ("doctor",), ("replay",)),
        *(
            ("pause", "cpu"),
            ("resume", "cpu"),
            ("drain",),
            ("drain", "--off"),
            ("retry", jobs[0]),
            ("rebuild",),
        ),
        *(
            ("price",),
            ("redo", jobs[1], "--yes"),
            ("fail", jobs[2]),
            ("requeue", jobs[2]),
            ("backup", "b.tar.gz"),
        ),
    ):
        shown = here(*words)
        assert shown.code in (0, 1, 2) and "NOPERM" not in shown.err, (words, shown)
    with Redis.from_url(redis_url, protocol=2) as client:
        refused = [entry for entry in client.acl_log() if entry["reason"] == "key"]
        assert not refused and keys_by_prefix(client).keys() == {"night"}


def test_who_has_one_prefix_reaches_no_other_key(redis_url: str, night_url: str) -> None:
    with connect(redis_url) as client:
        scene = redis_scene(client, redis_ledger(client, keys=DAY), DAY)
        scene.put(an_entry("a"))
    with Redis.from_url(night_url, protocol=2) as night:
        for words in (
            ("HGETALL", DAY.jobs),
            ("HGET", PLAIN.state, "x"),
            ("SADD", "rq:workers", "x"),
            ("FLUSHDB",),
        ):
            with pytest.raises(NoPermissionError):
                night.execute_command(*words)


# ── RQ ────────────────────────────────────────────────────────────────────────────────────────────────────


def pages_of(client: Redis, keys: Keys, path: str) -> Any:
    return make_app(client, keys=keys).test_client().get(path, headers={"Host": "localhost"})


def test_the_dashboard_shows_the_entries_of_its_project(redis_url: str) -> None:
    with connect(redis_url) as client:
        for keys, name in ((NIGHT, "n"), (DAY, "d"), (PLAIN, "p")):
            scene = redis_scene(client, redis_ledger(client, keys=keys), keys)
            scene.put(an_entry(name))
            scene.run(name)
        for keys, name in ((NIGHT, "n"), (DAY, "d"), (PLAIN, "p")):
            assert (f"the project {keys.prefix}" if keys.prefix else "this project") in pages_of(
                client, keys, "/"
            ).text
            queues = pages_of(client, keys, "/0/data/queues.json").json["queues"]
            assert [(queue["name"], queue["started_job_registry_count"]) for queue in queues] == [
                ("cpu-node1", 1)
            ]
            shown = pages_of(client, keys, "/0/data/jobs/cpu-node1/started/8/asc/1.json")
            assert [job["id"] for job in shown.json["jobs"]] == [f"{name}-0000000-a1"]
            job = pages_of(client, keys, f"/0/data/job/{name}-0000000-a1.json")
            assert job.status_code == 200 and job.json["status"] == "started"
            others = pages_of(client, keys, f"/0/data/job/{'d' if name == 'n' else 'n'}-0000000-a1.json")
            assert others.status_code == 404


def test_the_dashboard_gets_by_with_what_its_reader_may_read(redis_url: str) -> None:
    reader = a_user(READER, "a password", NIGHT)
    with connect(redis_url) as client:
        client.execute_command("ACL", "SETUSER", reader.name, *reader.rules)
        scene = redis_scene(client, redis_ledger(client, keys=NIGHT), NIGHT)
        scene.put(an_entry("n"))
        scene.run("n")
        rq_presence.Presence(client, "cpu-node1", "w1", NIGHT).birth()
    url = f"unix://{reader.name}:a password@{redis_url.removeprefix('unix://')}"
    with dashboard.connect(url, NIGHT, is_own=False) as client:
        for path in ("/", "/0/data/queues.json", "/0/data/workers.json", "/0/data/job/n-0000000-a1.json"):
            assert pages_of(client, NIGHT, path).status_code == 200, path
        assert pages_of(client, NIGHT, "/0/data/workers.json").json["workers"][0]["name"] == "w1"
        assert pages_of(client, PLAIN, "/0/data/queues.json").status_code == 503


def test_budgets_are_kept_under_the_prefix(redis_url: str) -> None:
    with connect(redis_url) as client:
        ledger = redis_ledger(client, keys=NIGHT)
        rates = redis_rates(client, ledger.calls, {"cloud": Rate(requests_per_min=3)})
        rates.take("job-00000001", 1, "cloud", 1, 0)
        rates.log_called("cloud", 1)
        (state,) = rates.states(time.time())
        assert state.requests_left == 1 and keys_by_prefix(client).keys() == {"night"}


LOOK = """
import sys
from redis import Redis
from rq import Queue, Worker
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
client = Redis.from_url(sys.argv[1])
queues = Queue.all(connection=client, serializer=JSONSerializer)
print([queue.name for queue in queues], [w.name for w in Worker.all(connection=client)])
print(StartedJobRegistry("cpu-node1", connection=client).get_job_ids(cleanup=False))
"""


@pytest.mark.parametrize("variable", ["rq", "theirs"])
def test_what_a_worker_shows_of_itself_is_where_its_prefix_says_whatever_rq_is_told(
    redis_url: str, variable: str
) -> None:
    """And RQ's own tools find it by the variable that RQ has for this."""
    show = (
        "import sys; from conductor.adapters.open_ledger import connect; from workers.parent.rq_presence "
        "import Presence\n"
        "from conductor.base.redis_keys import Keys\n"
        "with connect(sys.argv[1]) as client: Presence(client, 'cpu-node1', 'w1', Keys('night')).birth()"
    )
    env = {**os.environ, "RQ_KEY_PREFIX": variable}
    subprocess.run(
        [sys.executable, "-c", show, redis_url], env=env, check=True, cwd=Path(__file__).parents[2]
    )
    with connect(redis_url) as client:
        scene = redis_scene(client, redis_ledger(client, keys=NIGHT), NIGHT)
        scene.put(an_entry("a"))
        scene.run("a")
        assert keys_by_prefix(client).keys() == {"night"}
    env["RQ_KEY_PREFIX"] = "night:rq"
    looked = subprocess.run([sys.executable, "-c", LOOK, redis_url], env=env, capture_output=True, text=True)
    assert looked.stdout == "['cpu-node1'] ['w1']\n['a-0000000-a1']\n", looked.stderr


def test_a_worker_that_rq_cannot_describe_is_there_all_the_same(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is not known to be there is not waited for when a ledger is settled."""

    def confused(*_: Any, **__: Any) -> None:
        raise ValueError("not enough values to unpack")

    monkeypatch.setattr(rq_presence.RqWorker, "__init__", confused)
    with connect(redis_url) as client:
        presence = rq_presence.Presence(client, "cpu-node1", "w1", PLAIN)
        presence.birth()
        assert client.smembers(PLAIN.workers) == {b"w1"} and client.exists(PLAIN.rq_worker("w1"))
        presence.death()
        assert client.smembers(PLAIN.workers) == {b"w1"}, "who looks for what it left strikes it off"


def test_a_prefix_is_harmless_on_a_valkey_of_the_projects_own(tmp_path: Path) -> None:
    from conductor.adapters.redis import valkey
    from conductor.base.settings.sections import Redis as RedisSettings

    settings = Settings(state_dir=tmp_path / "state", redis=RedisSettings(prefix="night"))
    with valkey.session(settings.valkey) as url, connect(url) as client:
        redis_scene(client, redis_ledger(client, keys=NIGHT), NIGHT).put(an_entry("a"))
        assert keys_by_prefix(client).keys() == {"night"}
