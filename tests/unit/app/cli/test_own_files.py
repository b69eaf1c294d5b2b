"""What Conductor makes for itself, whatever the umask says: nothing that others can write to."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conductor.base.files import safe_open

BIN = Path(sys.executable).with_name("conductor")


@pytest.mark.slow
@pytest.mark.parametrize(("mask", "others"), [(0o000, 0o002), (0o002, 0o002), (0o077, 0o077)], ids=oct)
def test_a_run_leaves_nothing_that_others_can_write_and_takes_its_own_for_its_own(
    tmp_path: Path, mask: int, others: int
) -> None:
    lanes = "[lanes]\ncpu.workers = 1\nio.workers = 0\ncloud.workers = 0\n"
    (tmp_path / "conductor.toml").write_text(
        f"{lanes}[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    )
    for argv in (
        ("plan", "system_test", "--mode", "debug", "--count", "2", "-o", "manifests/m.jsonl"),
        ("dispatch", "manifests/m.jsonl", "--target", "backlog:b"),
        ("conduct", "--until-done"),
        ("verify", "manifests/m.jsonl"),
    ):
        done = subprocess.run(
            [BIN, *argv], cwd=tmp_path, umask=mask, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    made = [
        place for place in tmp_path.rglob("*") if not place.is_symlink() and place.name != "conductor.toml"
    ]
    assert len(made) > 15
    wrong = {
        str(p.relative_to(tmp_path)): oct(p.stat().st_mode) for p in made if p.stat().st_mode & others & 0o022
    }
    assert not wrong
    for own in (".conductor", "receipts"):
        assert not (tmp_path / own).stat().st_mode & 0o022


def test_all_folders_that_are_missing_are_made_so_and_none_that_is_there_is_changed(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o777)
    before = os.umask(0)
    try:
        safe_open.make_own(there / "a" / "b")
        safe_open.make_own(there / "a" / "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (there, there / "a", there / "a" / "b")] == [
        0o777,
        0o755,
        0o755,
    ]
