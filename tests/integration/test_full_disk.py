"""The disk of the project's own Valkey has no room: said at once by whoever is asked, and nothing is taken
in vain.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import conductor
from node_scene import Command, until

from conductor.base.settings.settings import load

MANIFEST = "manifests/system_test_backlog_1.jsonl"
#: Of a few processes that start; on a busy machine each takes a second.
SOON_S = 10.0
IS_FULL = "is full, so Valkey can keep nothing: make room there"


def mounted(folder: Path) -> bool:
    options = ["-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", str(folder)]
    mount = ["mount", *options]
    return sys.platform == "linux" and subprocess.run(mount, capture_output=True, check=False).returncode == 0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project whose state folder is a disk of its own."""
    state = tmp_path / ".conductor"
    state.mkdir()
    if not mounted(state):
        pytest.skip("only root mounts a disk")
    lanes = "lanes.gpu.workers = 0\nlanes.cpu.workers = 1\nlanes.io.workers = 0\nlanes.cloud.workers = 0\n"
    roots = "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    pages = "[web]\nis_on = false\n[dashboard]\nis_on = false\n"
    (tmp_path / "conductor.toml").write_text(lanes + roots + pages)
    conductor("plan", "system_test", "--mode", "backlog", "--count", "1", cwd=tmp_path)
    yield tmp_path
    conductor("down", "--now", cwd=tmp_path)
    subprocess.run(["umount", "-l", str(state)], check=True)


def fill(folder: Path) -> Path:
    file = folder / ".conductor" / "fill"
    with file.open("wb", buffering=0) as f:
        try:
            while f.write(b"\0" * 512):
                pass
        except OSError:
            pass
    return file


def test_a_full_disk_is_said_at_once_and_nothing_is_taken(folder: Path):
    assert conductor("dispatch", MANIFEST, cwd=folder).code == 0
    room = fill(folder)
    began = time.monotonic()
    for words in (["dispatch", MANIFEST], ["pause", "cpu"], ["conduct", "--until-done"]):
        found = conductor(*words, cwd=folder, timeout=SOON_S)
        assert (found.code, IS_FULL in found.err) == (4, True), found.err
    assert conductor("up", cwd=folder, timeout=SOON_S).code == 4
    seen = conductor("status", "--json", cwd=folder, timeout=SOON_S)
    assert seen.json["backlogs"]["system_test"]["waiting"] == 1, "what was kept can be read"
    assert any(IS_FULL in note for note in seen.json["notes"])
    assert "is full, so Valkey can keep nothing" in conductor("doctor", cwd=folder, timeout=SOON_S).out
    assert time.monotonic() - began < 4 * SOON_S

    room.unlink()
    assert conductor("conduct", "--until-done", cwd=folder).code == 0


def test_one_that_fills_up_while_all_is_up_is_said_and_work_goes_on_when_there_is_room(folder: Path):
    with_room = Command(load(folder), "up")
    try:
        until(lambda: "Up. Ctrl-C" in with_room.said, 60.0)
        room = fill(folder)
        until(lambda: "cannot write to its disk" in with_room.said or IS_FULL in with_room.said)
        assert conductor("dispatch", MANIFEST, cwd=folder, timeout=SOON_S).code == 4
        room.unlink()
        until(lambda: conductor("dispatch", MANIFEST, cwd=folder).code == 0)
        until(
            lambda: conductor("status", "--json", cwd=folder).json["backlogs"]["system_test"]["done"] == 1,
            60.0,
        )
        assert "Traceback" not in with_room.said
    finally:
        with_room.close()


def test_one_that_is_full_from_the_start_is_said(folder: Path):
    fill(folder)
    found = conductor("dispatch", MANIFEST, cwd=folder, timeout=SOON_S)
    assert (found.code, IS_FULL in found.err) == (4, True), found.err
    assert os.path.lexists(folder / MANIFEST)
