"""Whatever is found when, at whatever hour: each alert is raised once and resolved once, and people are told
what became of what they were told."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from builders import NOW
from hypothesis import given
from hypothesis import strategies as st

from conductor.core.alerts.judgement import TellingRule, judge
from conductor.core.alerts.rules import RULES
from conductor.model.alerts import AlertBook, AlertFinding, AlertNotice, AlertRuleName, AlertThresholds

NAMES: tuple[AlertRuleName, ...] = ("nas-gone", "breaker-open", "node-gone")
LOOKS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 5.0, 29.0, 31.0, 61.0, 4000.0, 90_000.0]),
        st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "node1/a", "node2"]))),
        st.booleans(),
        st.sets(st.sampled_from(NAMES)),
        st.sets(st.sampled_from(["node1", "node2"])),
    ),
    max_size=40,
)


@given(LOOKS, st.sampled_from([0.0, 60.0, 3600.0]))
def test_raised_and_resolved_take_turns_and_what_was_told_is_told_to_its_end(
    looks: list[tuple[float, set[tuple[AlertRuleName, str]], bool, set[str], set[str]]], repeat_s: float
) -> None:
    book, now, limits = AlertBook(), NOW, AlertThresholds()
    telling = TellingRule(repeat_s=repeat_s, clear_s=30.0)
    events: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    heard: defaultdict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    # At the end all is well for long, at an hour at which everything may be said.
    calm = (100.0, set[tuple[AlertRuleName, str]](), False, set[str](), set[str]())
    for gap_s, bad, is_quiet, silenced, unknown in [*looks, calm, calm]:
        now += gap_s
        findings = {
            name: [AlertFinding(subject=s, words="bad") for n, s in sorted(bad) if n == name]
            for name in NAMES
        }
        before = book
        judged = judge(
            book, findings, limits, telling, now, is_quiet=is_quiet, silenced=silenced, unknown=unknown
        )
        book = judged.book
        for notice in judged.notices:
            note(notice, events, heard, now)
            assert not notice.is_told or notice.alert.rule not in silenced
            assert not notice.is_told or not is_quiet or RULES[notice.alert.rule].level == "urgent"
        again = judge(
            book, findings, limits, telling, now, is_quiet=is_quiet, silenced=silenced, unknown=unknown
        )
        assert again.book == book and not again.notices, "the same look at the same instant says nothing more"
        assert len({alert.key for alert in book.alerts}) == len(book.alerts)
        assert all(alert.last_at >= alert.since for alert in book.alerts) and before.at <= book.at
    assert book.alerts == ()
    for kinds in events.values():
        turns = [kind for kind in kinds if kind != "repeated"]
        assert turns == ["raised", "resolved"] * (len(turns) // 2)
    for told in heard.values():
        assert told[-1][0] == "resolved", "who was told of it is told that it is over"
        assert all(a[0] != b[0] or a[0] == "repeated" for a, b in pairwise(told))
        reminders = [(a, b) for a, b in pairwise(told) if b[0] == "repeated"]
        assert all(repeat_s and b[1] - a[1] >= repeat_s for a, b in reminders)


def note(
    notice: AlertNotice,
    events: dict[tuple[str, str], list[str]],
    heard: dict[tuple[str, str], list[tuple[str, float]]],
    now: float,
) -> None:
    if notice.is_event:
        events[notice.alert.key].append(notice.kind)
    if notice.is_told:
        heard[notice.alert.key].append((notice.kind, now))
