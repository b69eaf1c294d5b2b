"""A project may lie in a folder of any name: one job from its plan to its proof, as a user types it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_tools import conductor

CONFIG = "[lanes.cpu]\nworkers = 1\n[lanes.io]\nworkers = 0\n[lanes.cloud]\nworkers = 0\n" + (
    "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
)
NAMES = {
    "marks": 'My Videos a=b c#d 50%20off e?f@g h\'i "j" [k] {l} %03d m:n ~ $(o) `p` *',
    "lines": "a\tb\nc\rd \x1b[31me \u202ef\\n",
    "long": "/".join(["x" * 200, "y" * 200]),
    "scripts": "日本語 العربية Cafe\u0301 🎬",
    "dashes": "--project",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_project_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "conductor.toml").write_text(CONFIG)
    runs_there(folder)


def test_a_name_that_no_record_could_hold_is_refused_in_a_sentence(tmp_path: Path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    found = conductor("status", cwd=folder)
    assert found.code == 3
    assert "is not UTF-8, as all records are: give that folder another name" in found.err


def test_a_project_may_be_reached_by_a_link(tmp_path: Path):
    folder, link = tmp_path / "real one", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    # As an editor of Windows saves it.
    (folder / "conductor.toml").write_bytes(b"\xef\xbb\xbf" + CONFIG.replace("\n", "\r\n").encode())
    runs_there(link)
    moved = folder.rename(tmp_path / "moved")
    assert conductor("audit", cwd=moved).code == 0, "and it may be moved"


def runs_there(folder: Path) -> None:
    assert conductor("plan", "system_test", "--mode", "backlog", "--count", "1", cwd=folder).code == 0
    manifest = "manifests/system_test_backlog_1.jsonl"
    put = conductor("dispatch", manifest, cwd=folder)
    ran = conductor("conduct", "--until-done", cwd=folder, timeout=60)
    verified = conductor("verify", manifest, cwd=folder)
    assert (put.code, ran.code, verified.code) == (0, 0, 0), put.err + ran.err + verified.out
