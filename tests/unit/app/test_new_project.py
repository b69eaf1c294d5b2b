"""`conductor init`: what it makes can be read as it is, and nothing of the user's is written over."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from conductor.app.new_project import FILES, make_project
from conductor.base.errors import UsageError
from conductor.base.settings.settings import load


def test_the_files_are_a_project_whose_settings_are_accepted(tmp_path: Path):
    folder = tmp_path / "new" / "night"

    assert make_project(folder) == [folder / name for name in FILES]

    assert load(folder).task_modules == ("my_tasks",)
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text())


@pytest.mark.parametrize("there", ["conductor.toml", "my_tasks.py", "lists/first.txt"])
def test_what_lies_there_is_left_alone_and_nothing_is_made_beside_it(tmp_path: Path, there: str):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")

    with pytest.raises(UsageError, match=f"{there} is there already"):
        make_project(tmp_path)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(there).name]
    assert (tmp_path / there).read_text() == "mine"


def test_a_gitignore_of_ones_own_is_kept(tmp_path: Path):
    (tmp_path / ".gitignore").write_text("*.tmp\n")

    assert tmp_path / ".gitignore" not in make_project(tmp_path)

    assert (tmp_path / ".gitignore").read_text() == "*.tmp\n"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made a project"):
        make_project(tmp_path / "file" / "night")
