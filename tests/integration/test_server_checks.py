"""A Redis that forgets what it accepted is refused, with the remedy, by all who would entrust jobs to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_spec
from cli_tools import conductor
from node_scene import until
from redis import Redis

from conductor.adapters.open_ledger import redis_of
from conductor.adapters.redis import server_checks, valkey
from conductor.adapters.redis.server_checks import distrust
from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings, load
from conductor.record import kept_manifests, manifest

EVICTING = ("maxmemory-policy", "allkeys-lru")
FORGETFUL = ("appendonly", "no")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    """A given Redis of the test's own, whose settings it may spoil."""
    own = Settings(state_dir=tmp_path / "server")
    with valkey.session(own.valkey) as url, Redis.from_url(url, protocol=2) as client:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "conductor.toml").write_text(
            f"[redis]\nurl = '{url}'\n[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
        )
        manifest.write(folder / "m.jsonl", [a_spec(1)])
        yield client
        # While it writes its first append-only file it does not hear that it should end.
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])


@pytest.fixture
def folder(tmp_path: Path, server: Redis) -> Path:
    return tmp_path / "project"


@pytest.mark.parametrize("spoilt", [EVICTING, FORGETFUL], ids=lambda pair: pair[0])
def test_dispatch_conduct_and_node_refuse_with_the_exact_words_to_say(
    folder: Path, server: Redis, spoilt: tuple[str, str]
) -> None:
    server.config_set(*spoilt)
    wanted = f"CONFIG SET {spoilt[0]} {'noeviction' if spoilt == EVICTING else 'yes'}"
    for words in (("dispatch", "m.jsonl"), ("conduct", "--until-done"), ("node",), ("rebuild", "m.jsonl")):
        refused = conductor(*words, cwd=folder, timeout=30)
        assert refused.code == 3, refused.err
        assert wanted in refused.err and "is_volatile_ok" in refused.err and "Traceback" not in refused.err
    assert server.keys("*") == []


def test_the_words_are_the_remedy(folder: Path, server: Redis) -> None:
    server.config_set(*EVICTING)
    server.config_set(*FORGETFUL)
    with pytest.raises(ConfigError) as refused, redis_of(load(folder)):
        pass
    for line in str(refused.value).split("CONFIG SET ")[1:]:
        server.config_set(*line.split(";")[0].split())
    with redis_of(load(folder)):
        pass


def test_who_only_looks_is_told_and_served(folder: Path, server: Redis) -> None:
    server.config_set(*FORGETFUL)
    for words in (("status",), ("audit",), ("pause", "gpu")):
        looked = conductor(*words, cwd=folder)
        assert looked.code == 0 and "keeps no append-only file" in looked.err


def test_it_can_be_accepted_knowingly(folder: Path, server: Redis) -> None:
    server.config_set(*FORGETFUL)
    put = conductor("dispatch", "m.jsonl", cwd=folder, env={"CONDUCTOR_REDIS__IS_VOLATILE_OK": "true"})
    assert put.code == 0 and "keeps no append-only file" in put.err


def test_nothing_known_is_nothing_held_against_it() -> None:
    assert list(distrust({})) == []
    assert list(distrust({"aof_enabled": "1", "maxmemory_policy": "noeviction"})) == []


@pytest.mark.parametrize("version", ["6.2.14", "5.0.7"])
def test_a_server_too_old_is_refused_in_one_sentence_also_by_who_only_looks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(server_checks, "server_facts", lambda client: {"redis_version": version})
    for is_lenient in (False, True):
        wanted = pytest.raises(ConfigError, match=f"is version {version}: take Redis 7 or newer")
        with wanted, redis_of(load(folder), is_lenient=is_lenient):
            pass


def test_a_server_says_how_old_it_is(server: Redis) -> None:
    facts = server_checks.server_facts(server)
    assert facts["redis_version"] and server_checks.too_old(facts) == ""
    assert server_checks.too_old({}) == server_checks.too_old({"redis_version": "10.0.0"}) == ""


def test_a_redis_that_restarted_empty_is_noticed(folder: Path, server: Redis) -> None:
    assert conductor("dispatch", "m.jsonl", cwd=folder).code == 0
    server.flushall()  # what a server without its files comes up with
    assert (
        "note: this Redis knows nothing of what was dispatched (m.jsonl)"
        in conductor("status", cwd=folder).out
    )
    for words in (("dispatch", "m.jsonl"), ("conduct", "--until-done")):
        refused = conductor(*words, cwd=folder, timeout=30)
        assert refused.code == 3 and "conductor rebuild" in refused.err
    assert conductor("rebuild", cwd=folder).out.startswith("backlog:system_test: ")
    assert "knows nothing" not in conductor("status", cwd=folder).out
    again = conductor("dispatch", "m.jsonl", "--json", cwd=folder)
    assert (again.json["new"], again.json["known"]) == (0, 1)


def test_a_manifest_that_is_gone_is_named_and_can_be_left_out(folder: Path, server: Redis) -> None:
    manifest.write(folder / "n.jsonl", [a_spec(2)])
    for name in ("m.jsonl", "n.jsonl"):
        assert conductor("dispatch", name, cwd=folder).code == 0
    server.flushall()
    kept_manifests.place_of(folder / "receipts", kept_manifests.sha256_of(folder / "n.jsonl")).unlink()
    (folder / "n.jsonl").unlink()
    refused = conductor("rebuild", cwd=folder)
    assert (
        refused.code == 3
        and "n.jsonl is missing" in refused.err
        and server.keys("*") == [b"conductor:project"]
    )
    rebuilt = conductor("rebuild", "--skip-missing", "--json", cwd=folder)
    assert rebuilt.code == 0 and [one["waiting"] for one in rebuilt.json["manifests"]] == [1]


@pytest.mark.slow
def test_the_operators_words_outlive_redis(folder: Path, server: Redis) -> None:
    manifest.write(folder / "m.jsonl", specs := [a_spec(1), a_spec(2)])
    assert conductor("dispatch", "m.jsonl", cwd=folder).code == 0
    assert conductor("cancel", specs[0].id, cwd=folder).code == 0
    assert conductor("cancel", specs[1].id, cwd=folder).code == 0
    assert conductor("retry", specs[1].id, cwd=folder).code == 0
    server.flushall()
    rebuilt = conductor("rebuild", "--json", cwd=folder).json["manifests"][0]
    assert (rebuilt["cancelled"], rebuilt["waiting"]) == (1, 1)
