"""What a worker takes for its own source, wherever in the house the modules that ask stand."""

from __future__ import annotations

from pathlib import Path

import workers
import workers.task_api.toolkit
from conductor.base.project import own_code_faults
from workers.isolation import child_main, child_process, code_stamps

WORKERS = Path(workers.__file__).parent


def test_a_change_of_any_module_of_ours_is_watched_for():
    assert workers.task_api.toolkit.__file__ in child_main.watched_files(None)
    assert str(WORKERS / "task_api").startswith(code_stamps.OURS)


def test_a_child_is_started_where_our_packages_lie():
    assert (child_process._PACKAGES / "workers" / "isolation" / "child_main.py").is_file()


def test_a_line_of_ours_is_not_taken_for_one_of_the_projects():
    assert {str(WORKERS), str(WORKERS.parent / "conductor")} <= {*own_code_faults._NOT_OWN}
