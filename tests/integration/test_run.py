"""`conductor init` and `conductor run`: from an empty folder to verified jobs in two commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import conductor

#: Where it is not about what a new project has: each worker takes a core for half a second.
ONE_LANE = "[lanes]\ncpu.workers = 1\nio.workers = 0\ncloud.workers = 0\n"


@pytest.mark.slow
def test_a_new_project_runs_as_it_is_and_a_second_time_does_nothing(tmp_path: Path):
    assert conductor("init", "night", cwd=tmp_path).out.endswith("next: cd night && conductor run counted\n")
    folder = tmp_path / "night"

    first = conductor("run", "counted", cwd=folder)
    again = conductor("run", "counted", cwd=folder)

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert "2 new, 0 known" in first.out and "2 of 2 jobs verified" in first.out
    assert "0 new, 2 known" in again.out and "2 of 2 jobs verified" in again.out


def test_a_workflow_of_ones_own_is_a_page_of_code_that_runs_and_verifies(tmp_path: Path):
    """A fresh reader's path, and how long it is: the lines of code that it takes."""
    (tmp_path / "conductor.toml").write_text("# mine\n" + ONE_LANE)

    made = conductor("init", "--workflow", "thumbs", cwd=tmp_path)
    (tmp_path / "thumbs_texts" / "empty.txt").write_text("")
    found = conductor("run", "thumbs", cwd=tmp_path)

    assert made.out.endswith("next: conductor run thumbs\n"), made.err
    assert (tmp_path / "conductor.toml").read_text().startswith('task_modules = ["thumbs_tasks"]\n# mine')
    # Its own check counts: a text without a word is done, and is found.
    assert found.code == 1 and "1 of 2 jobs verified" in found.out, found.out + found.err
    assert "empty.txt has no word" in found.out
    files = ("workflows/thumbs/plan.py", "thumbs_tasks.py", "workflows/thumbs/verify.py")
    code = [line for name in files for line in (tmp_path / name).read_text().splitlines() if line.strip()]
    assert len(code) <= 50


#: One job makes a film, and one keeps the run going until that was noted.
FILMS = """\
from conductor.planning import job

def plan(options, settings):
    made = job("films", "films.make", {}, writes={"published:films/{id}.bin": 3_000_000}, lane="cpu")
    yield made
    yield job("films", "films.wait", {}, after=(made,), lane="cpu")
"""
FILM_TASKS = """\
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from workers import task
from workers.toolkit import write_of

@task("films.make", lane="cpu", timeout_s=60)
def make(args, ctx):
    ctx.output(write_of(ctx, ".bin")).write_bytes(b"x" * 2_000_000)

@task("films.wait", lane="cpu", timeout_s=90)
def wait(args, ctx):
    until = time.monotonic() + 60
    while time.monotonic() < until and not noted(Path("FOLDER/.conductor/read_back.db")):
        time.sleep(0.05)

def noted(file):
    if not file.exists():
        return None
    with closing(sqlite3.connect(file)) as notes:
        is_made = notes.execute("SELECT 1 FROM sqlite_master").fetchone()
        return is_made and notes.execute("SELECT 1 FROM hashes").fetchone()
"""


def test_what_was_published_is_read_back_before_the_run_is_over(tmp_path: Path):
    (tmp_path / "conductor.toml").write_text('task_modules = ["films_tasks"]\n' + ONE_LANE)
    (tmp_path / "films_tasks.py").write_text(FILM_TASKS.replace("FOLDER", str(tmp_path)))
    (tmp_path / "workflows" / "films").mkdir(parents=True)
    (tmp_path / "workflows" / "films" / "plan.py").write_text(FILMS)

    found = conductor("run", "films", cwd=tmp_path)

    assert found.code == 0, found.err
    assert "1 output checked (1.9 MiB), 1 of them read back before and not written to since" in found.out


def test_a_plan_without_jobs_and_one_that_cannot_be_made_run_nothing(tmp_path: Path):
    conductor("init", cwd=tmp_path)
    (tmp_path / "empty").mkdir()

    none, absent = conductor("run", "counted", "empty", cwd=tmp_path), conductor("run", "nope", cwd=tmp_path)

    assert (none.code, absent.code) == (1, 2), none.err + absent.err
    assert not (tmp_path / ".conductor" / "valkey").exists()


def test_what_fails_is_the_exit_code_and_verify_says_which(tmp_path: Path):
    conductor("init", cwd=tmp_path)
    with (tmp_path / "conductor.toml").open("a") as config:
        config.write(ONE_LANE)
    tasks = tmp_path / "my_tasks.py"
    tasks.write_text(tasks.read_text().replace('retry={"task_error": 2}', 'retry={"task_error": 0}'))
    (tmp_path / "lists" / "second.txt").write_bytes(b"\xff\xfe not utf-8 \xff")

    found = conductor("run", "counted", cwd=tmp_path)

    assert found.code == 1
    assert "1 dead" in found.out and "1 of 2 jobs verified" in found.out
