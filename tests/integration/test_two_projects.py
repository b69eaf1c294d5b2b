"""Two projects whose redis.url is the same: the first one's work is not touched by the second, and that is
said.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import Result, conductor

from conductor.adapters.open_ledger import connect, open_ledger, redis_of
from conductor.adapters.redis.project_mark import (
    FILE,
    claim,
    mark_of,
    refuse_other_project,
    warn_of_other_project,
)
from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings, load

MANIFEST = "manifests/system_test_debug_2.jsonl"


def project(folder: Path, url: str) -> Path:
    folder.mkdir()
    (folder / "conductor.toml").write_text(f'[redis]\nurl = "{url}"\nis_volatile_ok = true\n')
    return folder


@pytest.fixture
def mine(tmp_path: Path, redis_url: str) -> Path:
    return project(tmp_path / "mine", redis_url)


@pytest.fixture
def theirs(tmp_path: Path, redis_url: str) -> Path:
    return project(tmp_path / "theirs", redis_url)


def put(folder: Path) -> Result:
    assert conductor("plan", "system_test", "--count", "2", cwd=folder).code == 0
    return conductor("dispatch", MANIFEST, cwd=folder)


def test_who_comes_second_is_turned_away_at_every_door(mine: Path, theirs: Path) -> None:
    assert put(mine).code == 0
    refused = put(theirs)
    assert refused.code == 3 and "this Redis holds the work of another project" in refused.err
    for command in (("conduct", "--until-done"), ("node",), ("up",)):
        shown = conductor(*command, cwd=theirs)
        assert shown.code == 3 and 'redis.url = "redis://HOST:6379/1"' in shown.err, command
    assert put(mine).out == "backlog:system_test: 0 new, 2 known\n"
    assert not (theirs / "receipts" / FILE).exists(), "nobody was marked as its owner"


def test_another_database_of_the_same_redis_is_another_ledger(
    mine: Path, theirs: Path, redis_url: str
) -> None:
    assert put(mine).code == 0
    other = f"{redis_url}?db=1" if redis_url.startswith("unix") else f"{redis_url}/1"
    (theirs / "conductor.toml").write_text(f'[redis]\nurl = "{other}"\nis_volatile_ok = true\n')
    assert put(theirs).out == "backlog:system_test: 2 new, 0 known\n"


def test_a_second_host_of_a_project_has_its_mark(mine: Path, theirs: Path) -> None:
    assert put(mine).code == 0
    (theirs / "receipts").mkdir()
    (theirs / "receipts" / FILE).write_bytes((mine / "receipts" / FILE).read_bytes())
    with open_ledger(load(theirs)) as ledger:
        assert ledger.tallies.counts()["waiting"] == 2


def test_a_worker_of_another_project_takes_nothing(mine: Path, theirs: Path, redis_url: str) -> None:
    assert put(mine).code == 0
    with connect(redis_url) as client:
        refuse_other_project(client, load(mine).receipts_dir, load(mine).redis)
        with pytest.raises(ConfigError, match="another project"):
            refuse_other_project(client, load(theirs).receipts_dir, load(theirs).redis)
        warn_of_other_project(client, load(theirs).receipts_dir, load(theirs).redis)


def test_a_ledger_that_was_emptied_is_marked_anew_and_a_mark_is_kept(mine: Path, redis_url: str) -> None:
    settings: Settings = load(mine)
    with connect(redis_url) as client:
        claim(client, settings.receipts_dir, settings.redis)
        mark = mark_of(settings.receipts_dir)
        assert mark is not None and len(mark) == 16
        client.flushall()
        with redis_of(settings) as again:
            assert again.get("conductor:project") == mark.encode()
        (settings.receipts_dir / FILE).write_text("no mark")
        with pytest.raises(ConfigError, match="does not hold a project's mark"):
            claim(client, settings.receipts_dir, settings.redis)
