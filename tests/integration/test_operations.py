"""The commands of docs/operations.md that need no service manager, one after the other, on a real project."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from node_scene import CONFIG, Command

from conductor.base.settings.settings import CONFIG_NAME, load

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def commands(title: str) -> list[list[str]]:
    part = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", part, re.M | re.S)).splitlines()
    return [shlex.split(line, comments=True) for line in lines]


def test_a_backup_comes_back(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / CONFIG_NAME).write_text(CONFIG)
    monkeypatch.setenv("CONDUCTOR_REDIS__URL", redis_url)
    monkeypatch.setenv("CONDUCTOR_PROJECT", str(tmp_path))
    settings = load(tmp_path)
    first = Command(settings, "plan", "system_test", "--mode", "backlog", "--count", "3")
    assert first.wait() == 0, first.said
    (manifest,) = (tmp_path / "manifests").glob("*.jsonl")
    sent = Command(settings, "dispatch", str(manifest))
    assert sent.wait() == 0, sent.said
    words = commands("Backup")
    assert [line[1] for line in words] == ["backup", "down", "restore", "rebuild", "audit"]
    for program, *rest in words:
        assert program == "conductor"
        done = Command(settings, *rest)
        assert done.wait() == 0, (rest, done.said)


def test_the_units_of_the_page_can_be_printed(tmp_path: Path):
    (tmp_path / CONFIG_NAME).write_text(CONFIG)
    shown = [words for words in commands("As a service") if "install" in words]
    assert len(shown) == 4
    for words in shown:
        rest = words[words.index("service") :] if words[0] != "sudo" else words[2:]
        done = Command(load(tmp_path), *rest, *([] if "--print" in rest else ["--print"]))
        assert done.wait() == 0 and "[Service]" in done.said, done.said
