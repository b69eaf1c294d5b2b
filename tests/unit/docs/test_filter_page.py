"""The page of the filter shows what the reader of it takes, and leaves no qualifier out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from conductor.base.moments import moment_reader
from conductor.model.job_filter import QUALIFIERS, FilterError, parse_filter
from conductor.model.ledger_entries import STATES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "filter.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^conductor jobs (.*)$", PAGE, re.MULTILINE)
MOMENTS = re.search(r"\*\*Moments\*\*: (.*?)\. They", PAGE, re.DOTALL)


@pytest.mark.parametrize("line", COMMANDS)
def test_each_example_is_a_filter(line: str) -> None:
    assert not parse_filter(shlex.split(line), moment_reader()).is_empty


def test_every_qualifier_and_state_is_told_of() -> None:
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([a-z]+):`", rows)) == set(QUALIFIERS)
    assert all(state in rows for state in STATES)


def test_every_moment_that_is_shown_is_one() -> None:
    assert MOMENTS is not None
    words = re.findall(r"`([^`]+)`", MOMENTS[1])
    assert len(words) >= 9
    for word in words:
        assert parse_filter(f"since:{word}", moment_reader()).since is not None


def test_several_files_and_texts_all_have_to_fit_and_lists_any() -> None:
    found = parse_filter('file:holiday file:clip7 no "space left" state:dead,review', moment_reader())
    assert (found.files, found.texts) == (("holiday", "clip7"), ("no", "space left"))
    assert found.states == ("dead", "review")
    for wrong in ("sate:dead", "state:dea", "cause:timeot", "since:never", 'file:"clip', "state:"):
        with pytest.raises(FilterError):
            parse_filter(wrong, moment_reader())
