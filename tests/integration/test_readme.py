"""What the README shows is run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from cli_tools import program

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_as_written(script: str, folder: Path) -> str:
    """In bash, with the environment activated; stops at the first command that fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = program("bash", "-euxc", script, cwd=folder, env={"PATH": path}, timeout=110)
    assert done.code == 0, done.out + done.err
    return done.out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty project; a disk that is nearly full is no fault of the README."""
    shutil.copy(ROOT / "conductor.toml", tmp_path)
    with (tmp_path / "conductor.toml").open("a") as file:
        file.write("[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n")
        file.write("[roots.published]\npath = 'published'\nheadroom_bytes = 0\n")
    return tmp_path


@pytest.mark.slow
def test_the_five_minutes(folder: Path):
    (folder / "workflows").symlink_to(ROOT / "workflows")
    (script,) = blocks(section("Five minutes"), "bash")

    shown = run_as_written(script, folder)

    assert "backlog:system_test: 50 new, 0 known" in shown
    assert "50 of 50 jobs verified" in shown


@pytest.mark.slow
def test_your_own_work(folder: Path):
    text = section("Your own work")
    lists = folder / "lists"
    lists.mkdir()
    (lists / "fruit.txt").write_text("pear\npear\n")
    (lists / "my list.txt").write_text("c\nb\na\n")
    for content in (*blocks(text, "toml"), *blocks(text, "python")):
        write_file(folder, content)
    (script,) = blocks(text, "bash")

    shown = run_as_written(script, folder)

    assert shown.count("2 of 2 jobs verified") == 2
    lines = {tuple(p.read_text().split()) for p in (folder / "published" / "lines").iterdir()}
    assert lines == {("2", "pear"), ("1", "c", "1", "b", "1", "a")}
    assert {p.read_text() for p in (folder / "published" / "counted").iterdir()} == {"2\n", "3\n"}


def write_file(folder: Path, content: str) -> None:
    """A block names its file in its first line. Settings go before those that are there."""
    name = content.split("\n", 1)[0].removeprefix("# ")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content + (file.read_text() if file.exists() else ""))


def test_every_example_is_ten_lines_or_so():
    for content in blocks(section("Your own work"), "python"):
        assert len(content.strip().splitlines()) <= 13, content


def test_files_that_the_readme_names_are_there():
    for name in re.findall(r"`((?:scripts/|manifests/|[A-Z]+\.md|compose\.yaml)[\w./-]*)", README):
        assert (ROOT / name).exists(), name
