"""Which failures are alike, and which say something of their kind."""

from __future__ import annotations

from random import Random

import pytest

from conductor.core.failures.failure_counts import (
    COUNTS,
    MOST_UNLIKE,
    KindRecord,
    failed,
    fingerprint,
    passed,
    same_place,
)
from conductor.model.causes import CAUSES, Cause


def alike(a: str, b: str) -> bool:
    return fingerprint("task_error", a, False) == fingerprint("task_error", b, False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError: 'fps'", "KeyError: 'width'"),
        ("frame 17 of 250 is broken", "frame 3 of 99 is broken"),
        ("cannot open /nas/in/a b.mp4: no such file", "cannot open /nas/in/holiday/c.mov: no such file"),
        (
            "scratch:highlights/k3v7/a.json is not an analysis",
            "scratch:highlights/z9/b.json is not an analysis",
        ),
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
    record = KindRecord()
    for n in range(3 * MOST_UNLIKE):
        record, opens = failed(record, f"sort {n}", "task_error", "m", 10.0, "", 5)
        assert not opens
    assert len(record.alike) <= MOST_UNLIKE
    assert record.failed == 1


def test_an_old_sort_keeps_its_count_among_new_ones():
    record = KindRecord()
    for n in range(4):
        record, _ = failed(record, "old", "task_error", "the old one", 10.0, "", 5)
        record, _ = failed(record, f"new {n}", "bad_input", "a new one", 11.0, "", 5)
    assert (record.failed, record.message) == (4, "the old one")
    record, opens = failed(record, "old", "task_error", "the old one", 12.0, "", 5)
    assert opens
    assert record.opened_at == 12.0
    assert record.since == 10.0


def test_nothing_is_remembered_of_a_success_but_what_was_verified_and_that_it_broke_a_row():
    assert passed(None, 5.0, "") is None
    assert passed(KindRecord(failed=3, alike={"x": 3}), 5.0, "") == KindRecord(breaks=1, last_at=5.0)
    assert passed(KindRecord(failed=3, alike={"x": 3}, opened_at=1.0), 5.0, "probe") == KindRecord(
        verified=1, last_at=5.0
    )
    assert passed(
        KindRecord(verified=2, failed=3, alike={"x": 3}, opened_at=1.0), 5.0, "canary"
    ) == KindRecord(verified=3, breaks=1, last_at=5.0)


def test_a_success_like_all_others_changes_nothing():
    record = KindRecord(verified=3, last_at=2.0)
    assert passed(record, 5.0, "") is record


def at_one_line(outcomes: str, breaker: int = 5) -> int | None:
    """«x» failed with words of its own, «.» ended well: after how many the kind was closed; None: it stays
    open.
    """
    record: KindRecord | None = None
    for n, outcome in enumerate(outcomes, 1):
        if outcome == ".":
            record = passed(record, float(n), "")
            continue
        words = fingerprint(
            "bad_input", f"no audio stream in {'abcdefghijklmnopqrstuvwxyz'[n % 26] * 9}", False
        )
        place = same_place(words, "bad_input", "BadInput at cut.py:17")
        record, opens = failed(record or KindRecord(), words, "bad_input", "m", float(n), "", breaker, place)
        if opens:
            return n
    return None


def test_failures_at_one_line_are_alike_whatever_they_say():
    assert at_one_line("x" * 200) == 5
    assert at_one_line("xx.xxxxxxxx") == 11, "a row had been broken: three more are wanted"
    assert at_one_line("x" * 200, breaker=0) is None


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_a_kind_in_which_most_succeed_stays_open(share: float):
    closed = 0
    for seed in range(40):
        rng = Random(seed)
        outcomes = ".x" * 3 + "".join("x" if rng.random() < share else "." for _ in range(1000))
        closed += at_one_line(outcomes) is not None
    assert closed == 0


def test_a_failure_that_says_nothing_of_its_kind_says_nothing_of_its_line():
    assert same_place(fingerprint("cuda_oom", "x", False), "cuda_oom", "E at a.py:1") == ""
    assert same_place(fingerprint("task_error", "x", False), "task_error", "") == ""
