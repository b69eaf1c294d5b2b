"""A manifest's or a folder's own name on a terminal, where each command says it: shown, never obeyed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from builders import a_spec
from cli_tools import Cli

from conductor.base.settings.settings import Settings
from conductor.base.text import printable
from conductor.record import manifest

EVIL = "m\n\r\x1b[2J\x9b\u202e\u2028night 0 0 0 9 done"


@pytest.fixture
def evil(project: Settings) -> str:
    path = project.project / f"{EVIL}.jsonl"
    manifest.write(path, [a_spec(n) for n in range(2)])
    return str(path)


def assert_shown(text: str) -> None:
    assert not [hex(ord(c)) for c in "\r\x1b\x9b\u202e\u2028" if c in text]
    assert not any(line.startswith("night 0 0 0 9 done") for line in text.splitlines())


def test_a_manifests_name_is_shown_by_all_that_say_it(cli: Cli, evil: str, project: Settings) -> None:
    dispatched = cli("dispatch", evil, "--target", "backlog:night")
    assert dispatched.code == 0, dispatched.err
    archive = str(project.project / f"{EVIL}.tar.gz")
    for argv in (
        ("dispatch", evil),
        ("verify", evil),
        ("rebuild",),
        ("rebuild", evil),
        ("backup", archive),
        ("restore", archive),
        ("restore", archive, "--force"),
        ("restore", evil, "--force"),
        ("audit",),
        ("needs",),
        ("retry", "--missing", evil),
        ("simulate", evil, "--cluster", evil),
        ("price", evil, "--cluster", evil),
        ("replay", evil),
        ("--project", evil, "status"),
        ("redo", "--task", EVIL),
        ("plan", EVIL),
    ):
        shown = cli(*argv)
        assert_shown(shown.out + shown.err)
    os.truncate(evil, 0)
    manifest.write(project.project / f"{EVIL}.jsonl", [a_spec(7)])
    for argv in (("verify", evil), ("rebuild",), ("audit",), ("verify", evil, "--json")):
        shown = cli(*argv)
        assert_shown(shown.out + shown.err)


def test_the_name_really_holds_what_a_terminal_obeys(evil: str) -> None:
    assert printable(evil) != evil and json.dumps(evil)


def test_a_folder_of_that_name_is_refused_in_one_line(cli: Cli, project: Settings, tmp_path: Path) -> None:
    folder = tmp_path / EVIL
    folder.mkdir()
    (folder / "conductor.toml").touch()
    folder.chmod(0o777)
    shown = cli("--project", str(folder), "status")
    assert shown.code == 3 and len(shown.err.splitlines()) == 1
    assert_shown(shown.err)
