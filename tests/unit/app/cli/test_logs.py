"""`conductor logs`: which stream a line was written to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conductor.app.cli import logs
from conductor.base.logs import job_output

JOB = "a" * 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for body, words in (("1.abcd", "one\n\x1etwo \x1b[2J\nthree\n"), ("2.efgh", "four\n")):
        file = job_output.file_of(tmp_path, JOB, body, 1_700_000_000.0)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(words, encoding="utf-8")
    return tmp_path


def test_both_streams_stand_in_their_order_and_a_terminal_shows_which_is_which(folder: Path) -> None:
    first, _ = logs.printed_texts(folder, JOB, None, None)
    assert (first.text, first.stderr_lines) == ("one\ntwo \x1b[2J\nthree\n", (1,))
    assert list(logs.shown_lines(first, has_signs=False)) == ["one", "two \\x1b[2J", "three"]
    assert list(logs.shown_lines(first, has_signs=True)) == ["   │ one", "err│ two \\x1b[2J", "   │ three"]


def test_one_stream_is_shown_alone_and_an_attempt_without_it_is_not(folder: Path) -> None:
    (only,) = logs.printed_texts(folder, JOB, None, "stderr")
    assert (only.attempt, only.text, only.stderr_lines) == (1, "two \x1b[2J", (0,))
    assert [each.text for each in logs.printed_texts(folder, JOB, None, "stdout")] == [
        "one\nthree\n",
        "four\n",
    ]


def test_who_follows_is_told_the_stream_of_each_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.follow_log(folder, None, JOB, 1, None, as_json=False)
    assert capsys.readouterr().out == "1    │ one\n1 err│ two \\x1b[2J\n1    │ three\n"
    logs.follow_log(folder, None, JOB, 1, "stderr", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"attempt": 1, "stream": "stderr", "line": "two \x1b[2J"}
