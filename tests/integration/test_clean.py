"""conductor clean and purge-scratch on a real Valkey: what is over goes, what is needed or young stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from builders import a_spec
from cli_tools import Cli
from rebuild_scene import RebuildScene

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger

DAY_S = 86_400


@pytest.fixture
def cli(project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(project.project, capsys, monkeypatch)


def a_file(path: Path, days: float, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    aged(path, days)
    return path


def aged(path: Path, days: float) -> None:
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))


def test_clean_takes_what_is_old_and_empty_and_says_so_first(
    cli: Cli, project: Settings, ledger: Ledger, redis_url: str
) -> None:
    place = RebuildScene(ledger, project.project, redis_url)
    over, waits = a_spec(1), a_spec(2)
    place.dispatch(over, waits)
    ledger.commands.cancel(over.id)
    scratch, logs = project.roots["scratch"].path, project.logs_dir
    old_day = a_file(logs / "jobs" / "2020-01-01" / "job.1.out", 2000)
    fire = a_file(logs / "schedules" / "nightly" / "a.out", 99)
    young_fire = a_file(logs / "schedules" / "nightly" / "b.out", 1)
    ended, live = (scratch / ".tmp" / f"{spec.id}.1.0000000a" for spec in (over, waits))
    for folder in (ended, live):
        a_file(folder / "x.bin", 0)
    empty, young = scratch / "old" / "empty", scratch / "young"
    for folder in (empty, young):
        folder.mkdir(parents=True)
    aged(empty, 2)
    result = a_file(scratch / "out" / "result.mp4", 99)

    told = cli("clean", "--dry-run", "--json").json

    assert told == {
        "printed_days": ["2020-01-01"],
        "fire_outputs": 1,
        "attempt_folders": 1,
        "empty_folders": 2,
    }
    assert old_day.exists() and fire.exists() and ended.exists() and empty.exists()
    assert cli("clean", "--json").json == told
    gone = [old_day, fire, ended, empty, empty.parent]
    assert not [path for path in gone if path.exists()]
    assert all(path.exists() for path in (young_fire, live, young, result, scratch / ".tmp"))
    assert "nothing" in cli("clean").out


def test_purge_asks_off_a_terminal_and_takes_only_what_is_over(
    cli: Cli, project: Settings, ledger: Ledger, redis_url: str
) -> None:
    place = RebuildScene(ledger, project.project, redis_url)
    over, waits = a_spec(1), a_spec(2)
    place.dispatch(over, waits)
    ledger.commands.cancel(over.id)
    scratch = project.roots["scratch"].path
    ended, live = (scratch / ".tmp" / f"{spec.id}.1.0000000a" for spec in (over, waits))
    for folder in (ended, live):
        a_file(folder / "x.bin", 0, "12345")
    stranger = a_file(scratch / "mine" / "of my own.bin", 99)

    told = cli("purge-scratch", "--dry-run", "--json").json
    assert told["roots"] == [{"root": "scratch", "file_bytes": 0, "folders": 1, "folder_bytes": 5}]
    refused = cli("purge-scratch")
    assert refused.code == 2 and "--force" in refused.err and ended.exists()
    done = cli("purge-scratch", "--force", "--json").json
    assert (done["files"], done["folders"]) == (0, 1)
    assert not ended.exists() and live.exists() and stranger.exists()
    assert "nothing" in cli("purge-scratch", "--force").out
