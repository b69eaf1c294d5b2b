"""What commands end with: 0 done, 1 ran and found something or nothing, 2 usage, 3 configuration or manifest,
4 a service cannot be reached. A table, for scripts and schedules rely on it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conductor.app.web.answers import NotThere, status_of, status_of_exit
from conductor.base import errors
from conductor.base.settings.settings import CONFIG_NAME, Settings
from tests.cli_tools import Cli

#: Nothing was dispatched yet, and nobody can be meant.
UNKNOWN = (
    "explain zzzz", "logs zzzz", "cancel zzzz", "redo zzzz", "pause gpuu", "status --backlog backlog:x",
    "price --backlog backlog:x", "plan nothere", "schedule run x", "alerts silence x", "review accept zzzz",
)  # fmt: skip
MEANINGLESS = (
    "jobs state:x", "events since:x", "drop", "retry --cause x", "price m.jsonl", "what-if", "statuss",
    "logs k --stdout --stderr",
)  # fmt: skip
NOTHING = ("price", "what-if --gpus 1", "replay", "schedule log nightly", "drop state:dead --yes")
FINE = (
    "status", "jobs state:dead", "events", "audit", "review", "schedule next nightly", "alerts", "clean",
    "config show", "retry --cause timeout",
)  # fmt: skip
BAD_FILE = ("dispatch m.jsonl", "verify nothere.jsonl", "price m.jsonl --cluster c.toml")
#: Of those that ask Redis.
ASKING = (
    "status",
    "explain k",
    "events",
    "pause cpu",
    "price",
    "schedule run nightly",
    "conduct --until-done",
)
CASES = [
    *((2, words) for words in (*UNKNOWN, *MEANINGLESS)), *((1, words) for words in NOTHING),
    *((0, words) for words in FINE), *((3, words) for words in BAD_FILE),
]  # fmt: skip


@pytest.fixture
def cli(project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    with (project.project / CONFIG_NAME).open("a") as config:
        config.write('[schedules.nightly]\ncron = "0 18 * * *"\nrun = "clean"\n')
    (project.project / "m.jsonl").write_text("{}\n")
    (project.project / "c.toml").write_text("[[node]]\nname = 'a'\ncpu_milli = 1000\nram_mib = 1000\n")
    monkeypatch.chdir(project.project)
    return Cli(project.project, capsys, monkeypatch)


def test_each_command_ends_as_the_table_says(cli: Cli) -> None:
    found = [(cli(*words.split()), code, words) for code, words in CASES]
    assert [(words, shown.code, shown.err) for shown, code, words in found if shown.code != code] == []
    for shown, code, words in found:
        if code > 1:
            assert shown.out == "" and 0 < len(shown.err.strip().splitlines()) <= 8, words
            assert "Traceback" not in shown.err, words


def test_without_redis_all_say_so(cli: Cli) -> None:
    config = cli.project / CONFIG_NAME
    config.write_text(re.sub('url = ".*"', 'url = "redis://127.0.0.1:1"', config.read_text()))
    ended = {words: cli(*words.split()) for words in ASKING}
    assert {words: shown.err for words, shown in ended.items() if shown.code != 4} == {}
    assert [words for words, shown in ended.items() if "Redis at 127.0.0.1:1" not in shown.err] == []


def test_with_a_bad_setting_all_say_so(cli: Cli) -> None:
    (cli.project / CONFIG_NAME).write_text("[timing]\nleas_s = 1\n")
    every = (*UNKNOWN[:3], *NOTHING[:2], *FINE[:3], *BAD_FILE[:1])
    ended = {words: cli(*words.split()) for words in every}
    assert {words: shown.code for words, shown in ended.items() if shown.code != 3} == {}
    assert [words for words, shown in ended.items() if "did you mean" not in shown.err] == []


def test_http_answers_by_the_same_classes() -> None:
    kinds = (
        errors.UsageError,
        errors.NothingFound,
        errors.ManifestError,
        errors.ConfigError,
        errors.Unreachable,
    )
    assert [status_of(kind("")) for kind in kinds] == [400, 409, 422, 409, 503]
    assert (status_of(NotThere("")), status_of(errors.StatementRefused(""))) == (404, 500)
    assert [status_of_exit(code) for code in (1, 2, 3, 4, 130)] == [409, 400, 422, 503, 500]


def test_a_project_that_is_none_is_bad_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert Cli(tmp_path / "empty", capsys, monkeypatch)("jobs").code == 3
