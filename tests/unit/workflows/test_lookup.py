"""Workflows are found by name: the project's own first, then the installed ones; scripts run as plain
files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conductor.app.workflow_lookup import about, available, checks_for, plan
from conductor.base.errors import UsageError
from conductor.base.settings.settings import CONFIG_NAME, Settings, load

ROOT = Path(__file__).resolve().parents[3]
OWN = '''"""Says hello.

More about it."""
from conductor.planning import job

def add_arguments(parser):
    parser.add_argument("--name", default="world")

def plan(options, settings):
    yield job("mine", "diagnostics.echo", {"text": options.name})
'''


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    (tmp_path / CONFIG_NAME).touch()
    return load(tmp_path)


def own(project: Settings, name: str, source: str = OWN, part: str = "plan") -> None:
    folder = project.project / "workflows" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}.py").write_text(source)


def test_a_projects_own_workflow_stands_beside_the_installed_ones(project: Settings) -> None:
    own(project, "mine")

    path, jobs = plan("mine", ["--name", "me"], project.for_code)

    assert set(available(project.for_code)) >= {"mine", "system_test", "highlights", "gap_fill"}
    assert about("mine", project.for_code) == "Says hello."
    assert (path, jobs) == (project.manifests_dir / "mine.jsonl", 1)
    assert b'"text":"me"' in path.read_bytes()


def test_a_projects_own_workflow_hides_an_installed_one_of_the_same_name(project: Settings) -> None:
    own(project, "system_test")
    assert about("system_test", project.for_code) == "Says hello."
    assert plan("system_test", [], project.for_code)[1] == 1


def test_an_unknown_workflow_is_refused_with_the_nearest_and_a_list(project: Settings) -> None:
    with pytest.raises(UsageError, match="did you mean highlights") as caught:
        plan("highlihgts", [], project.for_code)
    assert "gap_fill" in str(caught.value)
    with pytest.raises(UsageError, match="there is no workflow"):
        plan("../../etc", [], project.for_code)


def test_checks_of_a_manifest_come_from_its_workflows_where_they_have_any(project: Settings) -> None:
    own(project, "mine")
    assert checks_for(["mine", "unheard_of"], project.for_code).jobs == ()
    assert len(checks_for(["mine", "system_test", "gap_fill"], project.for_code).jobs) == 2


def script(
    name: str, *argv: str, cwd: Path, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CONDUCTOR_", "PYTHON", "VIRTUAL_ENV"))}
    command = [python, str(ROOT / "workflows" / "system_test" / name), *argv]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_plan_and_verify_run_as_plain_files_from_anywhere(project: Settings) -> None:
    made = script("plan.py", "--mode", "debug", "--count", "2", cwd=project.project)
    assert (made.returncode, made.stdout) == (0, "manifests/system_test_debug_2.jsonl: 2 jobs\n"), made.stderr

    verified = script("verify.py", "--file", "manifests/system_test_debug_2.jsonl", cwd=project.project)
    assert verified.returncode == 1 and "found: 2 missing" in verified.stdout

    same = script("verify.py", "manifests/system_test_debug_2.jsonl", cwd=project.project)
    assert (same.returncode, same.stdout) == (verified.returncode, verified.stdout)
    both = script("verify.py", "a.jsonl", "--file", "b.jsonl", cwd=project.project)
    assert both.returncode == 2 and "name one manifest" in both.stderr

    bad = script("verify.py", "--file", "none.jsonl", cwd=project.project)
    assert bad.returncode == 3 and bad.stdout == "" and bad.stderr.count("\n") == 1


def test_a_python_without_the_packages_hands_over_to_the_projects_own_or_says_so(tmp_path: Path) -> None:
    bare = [sys.executable, "-I", "-S"]
    code = f"import pathlib, sys; sys.path.insert(0, {str(ROOT)!r}); from workflows import standalone as s; "
    silent = subprocess.run(
        [*bare, "-c", f"{code}s.ROOT = pathlib.Path({str(tmp_path)!r}); s.ensure_environment()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        silent.returncode == 1
        and "run ./scripts/demo once" in silent.stderr
        and silent.stderr.count("\n") == 1
    )

    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "handed over: $1"\n')
    python.chmod(0o755)
    handed = subprocess.run(
        [
            *bare,
            "-c",
            f"{code}s.ROOT = pathlib.Path({str(tmp_path)!r}); sys.argv = ['p.py']; s.ensure_environment()",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert handed.stdout == "handed over: p.py\n"


def test_python_dash_m_lists_and_runs_workflows(project: Settings) -> None:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workflows", *argv]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "CONDUCTOR_PROJECT": str(project.project)}
        return subprocess.run(
            command, cwd=project.project, env=env, capture_output=True, text=True, check=False
        )

    assert "gap_fill" in run("--help").stdout and run().returncode == 2
    assert run("plan", "system_test", "--count", "2").returncode == 0
    assert run("plan", "nope").returncode == 2
