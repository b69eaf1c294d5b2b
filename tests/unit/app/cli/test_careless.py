"""What a careless user does: wrong files, words and numbers. Each is one sentence, and none is taken for
done.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from builders import a_spec
from cli_tools import Cli

from conductor.model.spec import to_line

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

FORM = "is no manifest: that has a job as one JSON object on each line, as `conductor plan` writes them"


def a_line() -> dict[str, object]:
    return json.loads(to_line(a_spec()))


@pytest.mark.parametrize(
    "content",
    [json.dumps([a_line()]), json.dumps(a_line(), indent=1), "[redis]\nurl = 1\n", "Dear Sir or Madam,\n"],
    ids=["an array", "printed over lines", "settings", "a letter"],
)
def test_a_file_that_is_no_manifest_is_called_so_and_what_one_is_is_said(cli: Cli, content: str) -> None:
    file = cli.project / "m.jsonl"
    file.write_text(content)

    shown = cli("dispatch", str(file))

    assert (shown.code, shown.out) == (3, "")
    assert f"m.jsonl {FORM}" in shown.err


def test_the_name_of_a_backlog_has_an_end(cli: Cli) -> None:
    shown = cli("status", "--backlog", f"backlog:{'x' * 500}")

    assert (shown.code, shown.err) == (
        2,
        "conductor: the name of a backlog has at most 64 letters, that one has 500\n",
    )


def test_a_lane_that_was_not_paused_is_not_fed_again(cli: Cli) -> None:
    assert cli("resume", "io").out == "lane io was not paused\n"


@pytest.mark.parametrize("cause", ["cancelled", "dependency_dead"])
def test_no_job_can_be_said_to_have_died_of_what_is_no_fault_of_it(
    cli: Cli, night: NightScene, cause: str
) -> None:
    shown = cli("fail", night.ids[0], "--cause", cause)

    assert shown.code == 2
    assert shown.err.startswith(f"conductor: {cause} is no fault of a job: ")
    assert night.view(0).state == "waiting"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("[timing]\nlease_s = inf", "timing.lease_s: is to be seconds, above 0, to 1000000000"),
        ("[timing]\nlease_s = 1e300", "timing.lease_s: is to be seconds, above 0, to 1000000000"),
        (
            "[lanes.cpu]\nworkers = 1000000000000",
            "lanes.cpu.workers: is to be a whole number, from 0, to 1024",
        ),
        ("lanes = 3", "lanes: is to be a table, with a name for each value"),
        ('[hours]\ncpu = "18-8"', "hours.cpu: '18-8' is no span of hours: write it as 18:00-08:00"),
    ],
)
def test_numbers_without_an_end_are_refused_and_words_are_the_users(
    cli: Cli, setting: str, said: str
) -> None:
    (cli.project / "conductor.toml").write_text(f"{setting}\n")

    shown = cli("status")

    assert shown.code == 3
    assert shown.err == f"conductor: {cli.project / 'conductor.toml'}: {said}\n"


def test_settings_that_are_a_folder_are_not_passed_over(cli: Cli) -> None:
    (cli.project / "conductor.toml").unlink()
    (cli.project / "conductor.toml").mkdir()

    shown = cli("status")

    assert (shown.code, shown.err) == (
        3,
        f"conductor: {cli.project / 'conductor.toml'} cannot be read: Is a directory\n",
    )


def test_a_plan_into_a_folder_or_of_more_jobs_than_a_disk_holds_is_refused(cli: Cli) -> None:
    (cli.project / "there").mkdir()

    to_folder = cli("plan", "system_test", "-o", str(cli.project / "there"))
    too_many = cli("plan", "system_test", "--count", "9" * 30)

    assert to_folder.code == 3
    assert to_folder.err.endswith("/there is a folder: name the file in it that is to be written, with -o\n")
    assert (too_many.code, too_many.err) == (
        2,
        f"conductor: --count {'9' * 30}: at least 1, at most 10000000\n",
    )


def test_of_a_manifest_whose_first_line_has_faults_all_are_named(cli: Cli) -> None:
    line = a_line() | {"timeout_s": "soon", "prioritee": 3}
    (cli.project / "m.jsonl").write_text(json.dumps(line) + "\n")

    shown = cli("dispatch", str(cli.project / "m.jsonl"))

    assert shown.code == 3
    assert "m.jsonl has 2 problems in 1 line; nothing of it was dispatched" in shown.err
    assert "m.jsonl:1: timeout_s: " in shown.err and "did you mean priority?" in shown.err


@pytest.mark.parametrize("name", ["receipts", "logs", "manifests"])
def test_a_file_where_a_folder_of_the_project_belongs_is_named(cli: Cli, name: str) -> None:
    (cli.project / name).write_text("not a folder\n")

    shown = cli("status")

    words = (
        f"conductor: {cli.project / name} is to be a folder of this project, and is a file: move it away\n"
    )
    assert (shown.code, shown.err) == (3, words)


def test_a_task_module_that_cannot_be_imported_does_not_keep_verify_from_its_proof(cli: Cli) -> None:
    settings = (cli.project / "conductor.toml").read_text()
    (cli.project / "conductor.toml").write_text('task_modules = ["nowhere_at_all"]\n' + settings)
    (cli.project / "m.jsonl").write_bytes(to_line(a_spec()) + b"\n")

    shown = cli("verify", str(cli.project / "m.jsonl"))

    assert shown.code == 1
    assert "0 of 1 job verified" in shown.out
