"""The filter of jobs: what is written is read again as it was, and whatever is typed is a filter or a
sentence.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conductor.base.moments import moment_of
from conductor.model.causes import CAUSES
from conductor.model.job_filter import (
    EVERYTHING,
    QUALIFIERS,
    FilterError,
    JobFilter,
    filter_words,
    parse_filter,
)
from conductor.model.ledger_entries import STATES

NOW = 1_700_000_000.0
TEXT = st.text(min_size=1, max_size=12)
SPECIAL = st.sampled_from(['"', "\\", ",", ":", " ", "state:dead", "a,b", '\\"', "http://x", "\n", "*"])
VALUE = st.one_of(TEXT, SPECIAL, st.tuples(TEXT, SPECIAL).map("".join))
AT = st.none() | st.floats(min_value=0, max_value=4e9, allow_nan=False)


def several(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, max_size=3, unique=True).map(tuple)


def reader(word: str) -> float:
    return moment_of(word, NOW)


FILTERS = st.builds(
    JobFilter,
    states=several(st.sampled_from(STATES)),
    causes=several(st.sampled_from(CAUSES)),
    tasks=several(VALUE),
    workflows=several(VALUE),
    backlogs=several(VALUE.filter(lambda name: not name.startswith("backlog:"))),
    nodes=several(VALUE),
    ids=several(VALUE),
    files=several(VALUE),
    texts=several(VALUE),
    since=AT,
    until=AT,
)


@given(FILTERS)
def test_what_is_written_is_read_as_it_was(wanted: JobFilter) -> None:
    assert parse_filter(filter_words(wanted), reader) == wanted


@given(st.lists(st.one_of(st.sampled_from([f"{name}:" for name in QUALIFIERS]), VALUE, st.text(max_size=5))))
@example(["backlog:", "backlog:"])
@example(["backlog:", "backlog:", "backlog:", "night"])
def test_whatever_is_typed_is_a_filter_or_a_sentence(parts: list[str]) -> None:
    try:
        found = parse_filter("".join(parts), reader)
    except FilterError as e:
        assert "\n" in str(e) or str(e)
    else:
        assert parse_filter(filter_words(found), reader) == found


def test_it_reads_as_people_type_it() -> None:
    found = parse_filter(
        ["state:dead,review", "cause:timeout", "task:media.*", 'file:"clip 7"', "since:2h", "broken pipe"],
        reader,
    )
    assert found == JobFilter(
        states=("dead", "review"),
        causes=("timeout",),
        tasks=("media.*",),
        files=("clip 7",),
        texts=("broken", "pipe"),
        since=NOW - 7200,
    )
    assert parse_filter("backlog:backlog:night", reader).backlogs == ("night",)
    assert parse_filter('"http://x" text:a:b', reader).texts == ("http://x", "a:b")
    assert parse_filter("  ", reader) == EVERYTHING
    assert EVERYTHING.is_empty
    assert not found.is_empty


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("sate:dead", "did you mean state:"),
        ("state:dea", "did you mean dead"),
        ("cause:timeot", "did you mean timeout"),
        ("since:never", "is no moment"),
        ('file:"clip', "not closed"),
        ("state:", "wants a value"),
        ("x" * 5000, "characters"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(typed: str, says: str) -> None:
    with pytest.raises(FilterError, match=says):
        parse_filter(typed, reader)
