"""`conductor init --workflow`: a page of code beside what is there, of which nothing is written over."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from conductor.app.new_workflow import FILES, make_workflow, with_tasks
from conductor.base.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "",
        'task_modules = ["mine"]\n[lanes.gpu]\non_cpu = true\n',
        "task_modules=[]\n",
        '# task_modules = ["no"]\n[roots.nas]\npath = "/x"\n',
    ],
)
def test_conductor_toml_gains_the_module_and_keeps_the_rest(tmp_path: Path, text: str):
    file = tmp_path / "conductor.toml"
    file.write_text(text)
    before = tomllib.loads(text)

    after = tomllib.loads(with_tasks(file, "thumbs_tasks"))

    assert after == {**before, "task_modules": [*before.get("task_modules", []), "thumbs_tasks"]}


def test_a_list_that_only_a_person_can_write_is_left_to_one(tmp_path: Path):
    (tmp_path / "conductor.toml").write_text('task_modules = [\n  "mine",\n]\n')

    made = make_workflow(tmp_path, "thumbs", ())

    # Over several lines it is still found.
    assert tomllib.loads((tmp_path / "conductor.toml").read_text())["task_modules"] == [
        "mine",
        "thumbs_tasks",
    ]
    assert len(made) == len(FILES) + 1
    (tmp_path / "conductor.toml").write_text('"task_modules" = ["a"]\n')
    with pytest.raises(UsageError, match='add "other_tasks" to task_modules by hand'):
        make_workflow(tmp_path, "other", ())
    assert not (tmp_path / "other_tasks.py").exists()


@pytest.mark.parametrize("name", ["", "Thumbs", "1st", "a-b", "../x", "class", "a" * 41])
def test_a_name_that_python_or_a_manifest_would_not_take_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="small letters, digits and _"):
        make_workflow(tmp_path, name, ())

    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(tmp_path: Path):
    (tmp_path / "thumbs_tasks.py").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        make_workflow(tmp_path, "thumbs", ())
    with pytest.raises(UsageError, match="there is a workflow studio already"):
        make_workflow(tmp_path, "studio", ("studio",))

    assert [path.name for path in tmp_path.iterdir()] == ["thumbs_tasks.py"]
