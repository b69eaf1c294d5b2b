"""Which files are looked at between two bodies, and how soon a change is seen."""

import os
from pathlib import Path

import pytest

from workers.isolation import code_stamps
from workers.isolation.code_stamps import LOOK_AT_OURS_EVERY_S, LOOK_EVERY_S, NEVER, LoadedCode

BORN, BEGAN, NOW = 2_000_000_000.0, 2_000_000_100.0, 2_000_000_200.0


class StampedFiles:
    """One of ours, one of the project's, both as they were long before the child."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.project = folder / "ours" / "a.py", folder / "tasks.py"
        self.ours.parent.mkdir()
        for file in (self.ours, self.project):
            self.write(file, BORN - 1000)

    def write(self, file: Path, at: float) -> None:
        file.write_text("")
        os.utime(file, (at, at))

    def loaded(self) -> LoadedCode:
        code = LoadedCode()
        code.know([str(self.ours), str(self.project)], BORN, BEGAN, NOW)
        return code


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StampedFiles:
    monkeypatch.setattr(code_stamps, "OURS", str(tmp_path / "ours") + os.sep)
    monkeypatch.setattr(code_stamps, "TASKS", str(tmp_path / "ours" / "tasks") + os.sep)
    return StampedFiles(tmp_path)


def test_a_file_of_the_project_is_looked_at_between_bodies_and_ours_now_and_then(files: StampedFiles):
    code = files.loaded()
    assert code.changed(100.0) == ""
    files.write(files.ours, NOW + 1)

    assert code.changed(100.0 + 2 * LOOK_EVERY_S) == ""
    assert code.changed(100.0 + LOOK_AT_OURS_EVERY_S) == str(files.ours)

    files.write(files.ours, BORN - 1000)
    code = files.loaded()
    assert code.changed(300.0) == ""
    files.write(files.project, NOW + 1)
    assert code.changed(300.0 + LOOK_EVERY_S / 2) == ""
    assert code.changed(300.0 + 2 * LOOK_EVERY_S) == str(files.project)


def test_behind_a_pause_the_projects_are_looked_at_and_at_rest_ours_are(files: StampedFiles):
    code = files.loaded()
    assert code.changed(100.0) == ""
    files.write(files.project, NOW + 1)
    code.look_again()
    assert code.changed(100.0 + LOOK_EVERY_S / 2) == str(files.project)

    code = files.loaded()
    assert code.changed(100.0) == ""
    files.write(files.ours, NOW + 1)
    code.look_again()
    assert code.changed(101.0) == ""

    code.rest(102.0)

    assert code.changed(102.0 + LOOK_EVERY_S / 2) == str(files.ours)


def test_a_task_of_ours_is_looked_at_as_one_of_the_projects_and_is_as_old_as_the_child(files: StampedFiles):
    task = files.ours.parent / "tasks" / "a.py"
    task.parent.mkdir()
    files.write(task, BORN - 1000)
    code = LoadedCode()
    code.know([str(task)], BORN, BEGAN, NOW)
    assert code.changed(100.0) == ""
    files.write(task, NOW + 1)
    assert code.changed(100.0 + 2 * LOOK_EVERY_S) == str(task)

    files.write(task, BORN + 1)
    code = LoadedCode()
    code.know([str(task)], BORN, BEGAN, NOW)
    assert code.changed(100.0) == str(task)


@pytest.mark.parametrize("at", [BORN + 1, BEGAN + 1])
def test_ours_are_as_old_as_the_child_and_those_of_the_project_as_the_body_that_loaded_them(
    files: StampedFiles, at: float
):
    files.write(files.project, at)
    assert files.loaded().changed(100.0) == ("" if at < BEGAN else str(files.project))

    files.write(files.project, BORN - 1)
    files.write(files.ours, at)
    assert files.loaded().changed(100.0) == str(files.ours)


def test_what_is_known_keeps_its_stamp_and_what_is_not_there_any_more_has_changed(files: StampedFiles):
    code = files.loaded()
    files.write(files.project, NOW + 1)
    code.know([str(files.project)], BORN, NOW + 50, NOW + 60)
    assert code.changed(100.0) == str(files.project)

    files.write(files.project, BORN - 1000)
    code = files.loaded()
    code.know([str(files.project)], BORN, NOW + 50, NOW + 60)
    files.ours.unlink()
    assert code.changed(100.0) == ""
    assert code_stamps.stamp_of(str(files.ours)) == 0
    assert code_stamps.stamp_as_loaded(str(files.project), BORN - 2000, NOW) == NEVER
