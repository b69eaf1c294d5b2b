"""Which failures are alike, and which say something of their kind."""

from __future__ import annotations

import pytest

from conductor.core.tally import COUNTS, MOST_UNLIKE, Record, failed, fingerprint, passed
from conductor.model.causes import CAUSES, Cause


def alike(a: str, b: str) -> bool:
    return fingerprint("task_error", a, False) == fingerprint("task_error", b, False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError: 'fps'", "KeyError: 'width'"),
        ("frame 17 of 250 is broken", "frame 3 of 99 is broken"),
        ("cannot open /nas/in/a b.mp4: no such file", "cannot open /nas/in/holiday/c.mov: no such file"),
        ("scratch:highlights/k3v7/a.json is not an analysis", "scratch:highlights/z9/b.json is not an analysis"),
        ("beach.mp4 is 3.2 s long", "sunset_2.mov is 17 s long"),
        ("job k3v7a2b4c6d8 was lost at 0x7f3a", "job 8s2f7g1h4j5k was lost at 0x1b"),
        ("«first clip» breaks off", "«another» breaks off"),
        ("it broke", "It  broke"),
        ("/nas/my holiday/one clip.mp4: moov atom not found", "/nas/x.mov: moov atom not found"),
    ],
)
def test_numbers_names_and_ids_do_not_tell_failures_apart(one: str, other: str):
    assert alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError: 'fps'", "ValueError: 'fps'"),
        ("the input is too short", "the input is too long"),
        ("", "the input is too long"),
    ],
)
def test_words_do(one: str, other: str):
    assert not alike(one, other)


def test_the_cause_does_and_a_message_of_any_length_will_do():
    assert fingerprint("bad_input", "x", False) != fingerprint("task_error", "x", False)
    assert len(fingerprint("task_error", "word " * 10_000, False)) < 200


def test_every_cause_says_whether_it_counts_and_why():
    assert set(COUNTS) == set(CAUSES)
    assert [cause for cause, counted in COUNTS.items() if not counted.why] == []


@pytest.mark.parametrize("cause", CAUSES)
def test_what_a_retry_solves_counts_only_when_it_did_not(cause: Cause):
    counted = {"always": (True, True), "died": (False, True), "never": (False, False)}[COUNTS[cause].when]
    assert (bool(fingerprint(cause, "x", False)), bool(fingerprint(cause, "x", True))) == counted


def test_failures_of_many_sorts_do_not_fill_the_record():
    record = Record()
    for n in range(3 * MOST_UNLIKE):
        record, opens = failed(record, f"sort {n}", "task_error", "m", 10.0, "", 5)
        assert not opens
    assert len(record.alike) <= MOST_UNLIKE
    assert record.failed == 1


def test_an_old_sort_keeps_its_count_among_new_ones():
    record = Record()
    for n in range(4):
        record, _ = failed(record, "old", "task_error", "the old one", 10.0, "", 5)
        record, _ = failed(record, f"new {n}", "bad_input", "a new one", 11.0, "", 5)
    assert (record.failed, record.message) == (4, "the old one")
    record, opens = failed(record, "old", "task_error", "the old one", 12.0, "", 5)
    assert opens
    assert record.opened_at == 12.0
    assert record.since == 10.0


def test_nothing_is_remembered_of_a_success_but_what_was_verified():
    assert passed(None, 5.0, "") is None
    assert passed(Record(failed=3, alike={"x": 3}), 5.0, "") is None
    assert passed(Record(verified=2, failed=3, alike={"x": 3}, opened_at=1.0), 5.0, "canary") == Record(
        verified=3, last_at=5.0
    )


def test_a_success_like_all_others_changes_nothing():
    record = Record(verified=3, last_at=2.0)
    assert passed(record, 5.0, "") is record
