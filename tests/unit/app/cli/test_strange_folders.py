"""A folder that somebody else has laid out: no command, no script and no TAB runs anything of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import program
from strangers import give_away, needs_root

from conductor.app.workflow_lookup import about, available, plan
from conductor.base.errors import ConfigError
from conductor.base.project.ownership import SAFE_FOLDERS
from conductor.base.settings.settings import CONFIG_NAME, load

BIN = Path(sys.executable).with_name("conductor")
COMMANDS = (
    "plan",
    "plan mine",
    "dispatch manifests/m.jsonl",
    "conduct --until-done",
    "verify manifests/m.jsonl",
    "up",
    "up --detach",
    "down",
    "node",
    "node --detach",
    "node --stop",
    "web",
    "web --link",
    "dashboard",
    "status",
    "top",
    "explain abcdefgh",
    "audit",
    "doctor",
    "config show --origin",
    "metrics",
    "pause cpu",
    "resume cpu",
    "drain",
    "cancel abcdefgh",
    "retry abcdefgh",
    "fail abcdefgh",
    "requeue abcdefgh",
    "redo abcdefgh",
    "rebuild",
    "backup b.tar.gz",
    "restore b.tar.gz",
    "replay",
    "needs",
)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def laid_out(tmp_path: Path, mark: Path) -> Path:
    """A project that leaves a mark wherever code of it runs."""
    folder = tmp_path / "theirs"
    (folder / "workflows" / "mine").mkdir(parents=True)
    (folder / "manifests").mkdir()
    (folder / "manifests" / "m.jsonl").touch()
    trap = f"open({str(mark)!r}, 'a').write(__name__ + chr(10))\n"
    (folder / CONFIG_NAME).write_text('task_modules = ["their_tasks"]\n')
    (folder / "their_tasks.py").write_text(trap)
    for part in ("plan", "verify"):
        (folder / "workflows" / "mine" / f"{part}.py").write_text(trap)
    for name in (
        "typer",
        "rich",
        "redis",
        "orjson",
        "msgspec",
        "sitecustomize",
        "loguru",
        "json",
        "shellingham",
    ):
        (folder / f"{name}.py").write_text(trap)
    return folder


def given_away(folder: Path) -> Path:
    give_away(folder, *folder.rglob("*"))
    return folder


@needs_root
def test_no_command_runs_anything_of_a_strangers_folder_and_all_say_why(laid_out: Path, mark: Path) -> None:
    given_away(laid_out)
    code = (
        "import sys, json; from conductor.app.cli import app\n"
        "for words in json.load(sys.stdin):\n"
        "    sys.argv = ['conductor', *words.split()]\n"
        "    try: app.main()\n"
        "    except SystemExit as e: print(words, e.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=laid_out,
        input=json.dumps(COMMANDS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{words} 3" for words in COMMANDS], done.stderr
    assert done.stderr.count(f"{SAFE_FOLDERS}={laid_out}") == len(COMMANDS)
    assert not mark.exists()


@needs_root
def test_workers_and_scripts_do_not_either(laid_out: Path, mark: Path) -> None:
    given_away(laid_out)
    env = {"CONDUCTOR_PROJECT": str(laid_out)}
    for words in (
        ("-P", "-m", "workers", "--queue", "q", "--lane", "cpu", "--node", "n"),
        ("-P", "-m", "conductor.dispatch.live_catalogue"),
        ("-m", "workflows", "plan", "mine"),
    ):
        assert program(sys.executable, *words, cwd=laid_out, env=env).code != 0
    assert not mark.exists()


def test_a_folder_that_everybody_can_write_is_no_project_of_ours(laid_out: Path, mark: Path) -> None:
    laid_out.chmod(0o777)
    said = program(str(BIN), "status", cwd=laid_out)
    assert said.code == 3 and "can be written by everybody" in said.err and not mark.exists()


@needs_root
def test_a_state_folder_of_a_stranger_is_refused_where_no_settings_are(laid_out: Path, mark: Path) -> None:
    (laid_out / CONFIG_NAME).unlink()
    server = laid_out / ".conductor" / "valkey" / "server"
    server.parent.mkdir(parents=True)
    trap = laid_out / "valkey-server"
    trap.write_text(f"#!/bin/sh\necho valkey >> {mark}\n")
    trap.chmod(0o755)
    server.write_text(str(trap))
    give_away(laid_out / ".conductor", *(laid_out / ".conductor").rglob("*"))
    said = program(str(BIN), "status", cwd=laid_out)
    assert said.code == 3 and ".conductor belongs to" in said.err and not mark.exists()


def test_tab_runs_nothing_of_the_folder_one_stands_in(laid_out: Path, mark: Path) -> None:
    for words in (
        "conductor ",
        "conductor plan ",
        "conductor plan mi",
        "conductor --project ",
        "conductor dispatch ",
    ):
        env = {
            "_CONDUCTOR_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "_TYPER_COMPLETE_ARGS": words,
        }
        done = program(str(BIN), cwd=laid_out, env=env)
        assert done.code == 0, done
    assert not mark.exists()


@pytest.mark.parametrize("command", ["plan", "status --help", "config show", "audit"])
def test_modules_that_lie_about_in_the_current_folder_are_not_imported(
    laid_out: Path, mark: Path, command: str, redis_url: str
) -> None:
    """Also of a project that is ours: only what `task_modules` names, and what that imports, comes from
    its folder.
    """
    (laid_out / CONFIG_NAME).write_text(f'redis.url = "{redis_url}"\n')
    env = {"PYTHONPATH": "", "CONDUCTOR_PROJECT": ""}
    env = {**os.environ, **env}
    del env["CONDUCTOR_PROJECT"], env["PYTHONPATH"]
    for start in ((str(BIN),), (sys.executable, "-m", "conductor")):
        done = subprocess.run(
            [*start, *command.split()], cwd=laid_out, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done
    assert not mark.exists()


def test_plan_lists_workflows_unread_and_one_with_a_fault_hides_none(laid_out: Path, mark: Path) -> None:
    (laid_out / CONFIG_NAME).write_text("")
    own = laid_out / "workflows"
    for name, source in {
        "good": '"""Does \x1b[31mgood."""\nimport nothing_such',
        "bad": "def plan(:\n",
        "zero": "x\0y",
        "latin": b"x = '\xe9'\n",
        "deep": "(" * 100_000,
        "not-a-name": '"""Never."""',
    }.items():
        (own / name).mkdir()
        (own / name / "plan.py").write_bytes(source if isinstance(source, bytes) else source.encode())
    done = program(str(BIN), "plan", cwd=laid_out)
    lines = dict(line.split("  ", 1) for line in done.out.splitlines())
    assert done.code == 0 and {"good", "bad", "zero", "latin", "deep", "system_test", "mine"} <= set(lines)
    assert lines["good"] == "Does \\x1b[31mgood." and "line 1" in lines["bad"] and "not-a-name" not in lines
    assert "utf-8" in lines["latin"].lower() and lines["deep"].startswith("(cannot be")
    assert not mark.exists()


@needs_root
def test_a_strangers_workflow_in_a_project_of_ours_is_listed_with_the_reason_and_not_run(
    laid_out: Path, mark: Path
) -> None:
    (laid_out / CONFIG_NAME).write_text("")
    give_away(laid_out / "workflows" / "mine" / "plan.py")
    settings = load(laid_out)
    assert "mine" in available(settings.for_code) and "will not be run" in about("mine", settings.for_code)
    with pytest.raises(ConfigError, match="belongs to"):
        plan("mine", [], settings.for_code)
    assert not mark.exists()
