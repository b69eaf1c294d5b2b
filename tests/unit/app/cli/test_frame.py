"""The command line's frame: help, exit codes, errors as sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import Cli, conductor
from typer.main import get_command

from conductor.app.cli import app as frame
from conductor.app.cli.frame import CommandGroup, narrowed
from conductor.base.errors import ManifestError, Unreachable

COMMANDS = (
    *("run", "init", "demo"),
    *(
        "plan",
        "dispatch",
        "conduct",
        "verify",
        "up",
        "down",
        "node",
        "dashboard",
        "exec",
        "web",
        "mcp",
        "status",
        "top",
    ),
    *(
        "explain",
        "metrics",
        "audit",
        "doctor",
        "jobs",
        "logs",
        "events",
        "report",
        "pause",
        "resume",
        "drain",
        "cancel",
        "fail",
        "requeue",
        "retry",
        "drop",
        "priority",
        "redo",
        "rebuild",
        "backup",
        "restore",
        "clean",
        "purge-scratch",
        "rotate",
    ),
    *("simulate", "smoke", "replay", "price", "what-if", "needs", "tasks", "models", "workers", "acl"),
)
HEAVY = ("redis", "rq", "numpy", "rich", "msgspec", "pydantic", "loguru", "openai", "flask", "psutil")


@pytest.mark.parametrize("command", [*((name,) for name in COMMANDS), ("config", "show")], ids=" ".join)
def test_help_of_every_command_has_an_example(cli: Cli, command: tuple[str, ...]):
    shown = cli(*command, "--help")

    assert shown.code == 0
    assert f"conductor {' '.join(command)}" in shown.out.split("Example", 1)[1]


def test_help_lists_every_command_that_works_and_no_other(cli: Cli):
    listed = cli("--help").out.split("Commands:")[1].split("Data goes")[0]

    assert [line.split()[0] for line in listed.strip().splitlines()] == [
        *COMMANDS,
        "service",
        "config",
        "review",
        "schedule",
        "sessions",
        "alerts",
    ]


def test_help_imports_nothing_heavy():
    code = f"import sys, conductor.app.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("status", "--help"), {}),
        ((), {"_CONDUCTOR_COMPLETE": "complete_bash", "COMP_WORDS": "conductor st", "COMP_CWORD": "1"}),
        (
            (),
            {"_CONDUCTOR_COMPLETE": "complete_bash", "COMP_WORDS": "conductor status --", "COMP_CWORD": "2"},
        ),
    ],
    ids=["help", "a command", "an option"],
)
def test_help_and_completion_of_a_command_import_nothing_heavy(words: tuple[str, ...], env: dict[str, str]):
    """typer takes pydantic for each option that was not given, unless it is kept from it."""
    # By its own name: completion goes by it.
    argv = [sys.executable, "-X", "importtime", str(Path(sys.executable).with_name("conductor")), *words]

    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=True)

    imported = {
        line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time")
    }
    assert "status" in done.stdout or "--json" in done.stdout
    assert not imported & {*HEAVY}


@pytest.mark.parametrize(
    "words",
    [
        ("--project", ".", "explain", "abc"),
        ("jobs", "state=done"),
        ("node",),
        ("dispatch", "m.jsonl", "--target", "backlog:x"),
    ],
    ids=" ".join,
)
def test_plain_words_and_paths_are_taken_without_pydantic(words: tuple[str, ...], tmp_path: Path):
    code = (
        "import sys; from conductor.app.cli import app\n"
        f"sys.argv = {['conductor', *words]!r}\n"
        "try: app.main()\n"
        "finally: print('pydantic' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)

    assert done.stdout == "False\n"
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("status", "--json"), "status"),
        (("--project", "jobs", "explain", "abc"), "explain"),
        (("--project=jobs", "explain", "abc"), "explain"),
        (("purge-scratch",), "purge-scratch"),
        (("service", "status"), "service"),
    ],
)
def test_of_the_commands_only_the_one_that_is_called_is_built(words: tuple[str, ...], name: str):
    built = get_command(narrowed(frame.app, words))

    assert isinstance(built, CommandGroup)
    assert [*built.commands] == [name]


@pytest.mark.parametrize("words", [(), ("--help",), ("statu",), ("--project", "status"), ("--project",)])
def test_help_and_a_near_name_want_all_of_them(words: tuple[str, ...]):
    assert narrowed(frame.app, words) is frame.app


def test_a_wrong_name_is_told_the_near_one(cli: Cli):
    assert "Did you mean 'status'" in cli("statu").err


@pytest.mark.parametrize("words", [("explain", "\udcff"), ("jobs", "\udcff"), ("cancel", "\udcff")])
def test_bytes_that_are_no_text_are_a_usage_error(cli: Cli, words: tuple[str, ...]):
    shown = cli(*words)

    assert shown.code == 2
    assert "has bytes that are no text" in shown.err
    assert cli("explain", "m\u00e4rz").code == 2
    assert cli("verify", "m\u00e4rz.jsonl").code == 3


def test_an_option_that_was_given_is_still_looked_at(cli: Cli):
    assert cli("explain", "abc", "--nonsense").code == 2
    assert cli("dashboard", "--port", "eighty").code == 2
    assert cli("--project", "nowhere", "config", "show").code == 2


def test_a_usage_error_is_2(cli: Cli):
    assert cli("pause", "gpus").code == 2
    assert cli("frobnicate").code == 2
    assert cli("dispatch").code == 2
    assert cli("--project", "nowhere", "status").code == 2


def test_an_unknown_setting_is_3_and_names_the_near_one(cli: Cli):
    (cli.project / "conductor.toml").write_text("[lanes.gpu]\nwrokers = 2\n")

    ended = cli("status")

    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("conductor: ")
    assert "did you mean workers?" in ended.err
    assert "Traceback" not in ended.err


def test_a_redis_that_is_not_there_is_4_in_one_sentence(cli: Cli, tmp_path: Path):
    (tmp_path / "conductor.toml").write_text('[redis]\nurl = "unix:///nowhere/at/all.sock"\n')

    for command in (("status",), ("top",), ("audit",), ("explain", "abc"), ("pause", "gpu"), ("conduct",)):
        ended = cli(*command)
        assert ended.code == 4, command
        assert ended.err.count("\n") == 1, ended.err
        assert "/nowhere/at/all.sock" in ended.err


def test_problems_of_a_manifest_follow_its_sentence(capsys: pytest.CaptureFixture[str]):
    problems = tuple(f"m.jsonl:{n}: bad\x1b[31m" for n in range(25))

    assert frame.say(ManifestError("m.jsonl has 25 problems", problems)) == 3

    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "conductor: m.jsonl has 25 problems"
    assert shown[1] == "  m.jsonl:0: bad\\x1b[31m"
    assert shown[-1] == "  … and 5 more"


def test_what_nobody_foresaw_is_one_sentence_and_a_trace_in_a_file(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    def broken() -> None:
        raise RuntimeError("the moon\nis full")

    monkeypatch.setattr(frame, "narrowed", lambda app, words: broken)

    ended = cli("status")

    file = cli.project / "logs" / "crashes.log"
    assert ended.code == 1
    assert (
        ended.err
        == f"conductor: unexpected error: RuntimeError: the moon\\nis full. The trace is in {file}\n"
    )
    assert "in broken" in file.read_text()


def test_the_trace_finds_a_place_where_the_logs_cannot_be_written(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    def broken() -> None:
        raise RuntimeError("again")

    (cli.project / "logs").write_text("a file in the way")
    monkeypatch.setattr(frame, "narrowed", lambda app, words: broken)

    file = Path(cli("status").err.rstrip("\n").split(" is in ")[1])

    assert "in broken" in file.read_text()


def test_an_interrupt_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    def interrupted(settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("conductor.views.doctor.examination.examine", interrupted)

    assert cli("doctor").code == 130


def test_a_reader_that_leaves_early_hears_nothing_on_stderr(tmp_path: Path):
    command = f"{sys.executable} -m conductor config show | true; exit ${{PIPESTATUS[0]}}"

    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False, text=True)

    assert ended.stderr == ""


def test_the_project_option_is_seen_by_children_too(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other"
    other.mkdir()
    (other / "conductor.toml").write_text('node = "other"\n')

    shown = cli("--project", str(other), "config", "show", "--json")

    assert shown.json["node"] == "other"


def test_json_goes_to_stdout_and_words_to_stderr(tmp_path: Path):
    ended = conductor("config", "show", "--json", cwd=tmp_path)

    assert json.loads(ended.out)["timing.tick_s"] == 1.0
    assert ended.err == ""


def test_unreachable_has_its_own_exit_code():
    assert frame.say(Unreachable("Redis does not answer")) == 4
