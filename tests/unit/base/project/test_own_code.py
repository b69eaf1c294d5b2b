"""Code of a project: found where the project says, from files that are ours, hiding nobody else's modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from strangers import give_away, needs_root

from conductor.base.project import own_code

TASKS = """\
import own_helper
from workers import task

@task("mine.run", lane="io")
def run(args, ctx):
    import own_package.later
    return {}
"""
LOOK = """\
import sys
from pathlib import Path
from conductor.dispatch.catalogue import load_catalogue
from conductor.base.errors import ConductorError
from workers.task_api.registry import body_of
try:
    catalogue = load_catalogue({modules!r}, Path({folder!r}))
    if "mine.run" in catalogue: body_of(catalogue["mine.run"])({{}}, None)
except ConductorError as e:
    print("refused:", e)
import redis, colorsys
print(redis.__file__, colorsys.__file__, {folder!r} in sys.path)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_package").mkdir()
    for name in (
        "own_helper",
        "redis",
        "colorsys",
        "statistics",
        "own_package/__init__",
        "own_package/later",
    ):
        (tmp_path / f"{name}.py").write_text(f"print({name!r})\n")
    (tmp_path / "own_tasks.py").write_text(TASKS)
    return tmp_path


def look(folder: Path, *modules: str) -> list[str]:
    code = LOOK.format(modules=list(modules), folder=str(folder))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # What a module prints as it is imported is kept out of stdout; unbuffered, so that both come in their
    # order.
    done = subprocess.run(
        [sys.executable, "-u", "-P", "-c", code],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


def test_a_task_module_brings_its_neighbours_and_hides_no_library(folder: Path) -> None:
    *ran, last = look(folder, "own_tasks")
    assert ran == ["own_helper", "own_package/__init__", "own_package/later"]
    assert str(folder) not in last and last.endswith(" True")


def test_without_task_modules_the_folder_is_not_on_the_path(folder: Path) -> None:
    (last,) = look(folder)
    assert str(folder) not in last and last.endswith(" False")


def test_a_task_module_is_the_projects_own_whatever_else_has_its_name(folder: Path) -> None:
    (folder / "colorsys.py").write_text(TASKS)
    *ran, last = look(folder, "colorsys")
    assert "own_helper" in ran and f" {folder}/colorsys.py " in last


@needs_root
@pytest.mark.parametrize("theirs", ["own_tasks.py", "own_helper.py", "own_package", "own_package/later.py"])
def test_what_a_stranger_wrote_is_not_run_whoever_imports_it_and_when(folder: Path, theirs: str) -> None:
    give_away(folder / theirs)
    ran = look(folder, "own_tasks")
    assert f"refused: {folder / theirs} belongs to" in "\n".join(ran)
    assert not any(line.startswith(theirs.removesuffix(".py")) for line in ran)


@needs_root
def test_a_compiled_file_of_a_strangers_is_not_run_in_place_of_the_source(folder: Path) -> None:
    look(folder, "own_tasks")
    compiled = next((folder / "__pycache__").glob("own_helper.*.pyc"))
    give_away(compiled)
    assert f"refused: {compiled} belongs to" in look(folder, "own_tasks")[0]


@pytest.mark.parametrize(("prefix", "is_looked_at"), [("{folder}/..", True), ("{folder}/own_package", False)])
def test_an_environment_in_the_project_is_not_its_code_and_a_project_in_an_environment_is(
    folder: Path, prefix: str, is_looked_at: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", os.path.normpath(prefix.format(folder=folder)))
    assert own_code.is_projects(f"{folder}/own_package/deep", folder) is is_looked_at
    assert own_code.is_projects(f"{folder}/other", folder) and not own_code.is_projects(f"{folder}2", folder)


def test_in_a_folder_that_all_can_add_to_no_module_is_taken(folder: Path) -> None:
    folder.chmod(0o1777)
    assert look(folder, "own_tasks")[0].startswith(f"refused: {folder} can be written by everybody")
