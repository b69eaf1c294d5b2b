"""The main job on real video: the demo over a folder of one's own, with what people have lying about in
it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import media
import pytest
from cli_tools import Result, conductor, program

GOOD = ("a plain one.mp4", 'it\'s "50%".mp4', "two\nlines %03d.mp4")
BAD = ("cut off.mp4", "empty.mp4", "words.mp4")
TOML = """\
[lanes.gpu]
on_cpu = true
workers = 1
[lanes.cpu]
workers = 2
[lanes.io]
workers = 1
[lanes.cloud]
workers = 0
[roots.scratch]
path = "scratch"
headroom_bytes = 0
[roots.published]
path = "published"
headroom_bytes = 0
[web]
port = 0
[dashboard]
port = 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "conductor.toml").write_text(TOML)
    return folder


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "my videos"
    folder.mkdir()
    for n, name in enumerate(GOOD):
        media.clip(folder / name, seconds=1.5 + n / 2)
    media.cut_off(folder / "cut off.mp4", folder / GOOD[0])
    (folder / "empty.mp4").touch()
    (folder / "words.mp4").write_text("these are words\n")
    (folder / "notes.txt").write_text("no video, and not named like one\n")
    return folder


def demo(project: Path, *argv: str) -> Result:
    return program(sys.executable, "-m", "workflows.highlights.demo", *argv, cwd=project, timeout=110)


@pytest.mark.slow
@pytest.mark.timeout(300)  # three runs
def test_bad_files_fail_with_a_cause_and_all_others_become_a_reel(project: Path, videos: Path):
    first = demo(project, str(videos))

    assert first.code == 1, first.err
    assert "Traceback" not in first.err
    assert "20 new, 0 known" in first.err
    assert "while this runs: page: http://127.0.0.1:" in first.err
    assert "rq-dashboard: http://127.0.0.1:" in first.err
    # Three probes fail, and the two jobs behind each; the reel is made of the others.
    assert "11 done, 9 dead in " in first.out
    assert "empty.mp4 is empty" in first.out
    assert "words.mp4 is not a video" in first.out
    assert "cut off.mp4 is cut off" in first.out
    failed = [line for line in first.out.splitlines() if line.startswith("  failed ")]
    assert [any(name in line for line in failed) for name in (*BAD, *GOOD)] == [True] * 3 + [False] * 3
    assert "held back, by gate: " in first.out
    reel = Path(first.out.split("\nreel: ")[1].split("\n")[0])
    assert reel.is_relative_to(project / "published")
    assert reel.stat().st_size > 10_000

    for name in BAD:
        (videos / name).unlink()
    os.utime(videos / GOOD[0], ns=(1, 1))
    changed = demo(project, str(videos))
    assert changed.code == 0, changed.out
    assert "5 new, 6 known" in changed.err, "the chain of the file that was touched, and another reel"
    assert "5 done in " in changed.out
    assert "(9 died in earlier runs)" in changed.out

    again = demo(project, str(videos))
    assert again.code == 0, again.out
    assert "0 new, 11 known" in again.err
    assert "nothing to run" in again.out
    assert "No node reports" not in again.err
    assert conductor("audit", cwd=project).code == 0


def test_a_folder_that_is_not_there_is_a_usage_error(project: Path, tmp_path: Path):
    ended = demo(project, str(tmp_path / "nowhere"))

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "nowhere is not a folder" in ended.err


def test_a_folder_without_videos_is_a_usage_error(project: Path, tmp_path: Path):
    (tmp_path / "bare").mkdir()

    ended = demo(project, str(tmp_path / "bare"))

    assert ended.code == 2
    assert "there is no video in " in ended.err
