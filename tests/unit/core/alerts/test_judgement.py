"""When an alert is raised, repeated and over, and who hears of it at what hour."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from builders import NOW

from conductor.core.alerts.judgement import Judged, TellingRule, judge, told
from conductor.model.alerts import AlertBook, AlertFinding, AlertNotice, AlertRuleName, AlertThresholds

LIMITS = AlertThresholds()
TELLING = TellingRule(repeat_s=3600.0, clear_s=30.0)


class AlertStory:
    """A book that time goes over."""

    def __init__(self, rule: AlertRuleName = "nas-gone", subject: str = "node1/nas") -> None:
        self.rule: AlertRuleName = rule
        self.subject = subject
        self.now, self.book = NOW, AlertBook()

    def after(
        self,
        seconds: float,
        is_found: bool,
        *,
        is_quiet: bool = False,
        silenced: Collection[str] = (),
        unknown: Collection[str] = (),
    ) -> list[str]:
        """What happens: the kind, in capitals where people hear of it, in brackets where it is no event."""
        self.now += seconds
        those = [AlertFinding(subject=self.subject, words=f"bad at {self.now - NOW:g}")] if is_found else []
        judged = judge(
            self.book,
            {self.rule: those},
            LIMITS,
            TELLING,
            self.now,
            is_quiet=is_quiet,
            silenced=silenced,
            unknown=unknown,
        )
        self.book = judged.book
        return [shown(notice) for notice in judged.notices]


def shown(notice: AlertNotice) -> str:
    kind = notice.kind.upper() if notice.is_told else notice.kind
    return kind if notice.is_event else f"({kind})"


def test_it_is_raised_once_repeated_ever_more_seldom_and_resolved_with_a_word() -> None:
    story = AlertStory()
    assert story.after(0, True) == ["RAISED"]
    assert story.after(5, True) == []
    assert story.after(3594, True) == []
    assert story.after(1, True) == ["REPEATED"]
    assert story.after(3600, True) == []
    assert story.after(3600, True) == ["REPEATED"]
    assert story.book.alerts[0].times == 3
    assert story.after(29, False) == []
    assert story.after(1, False) == ["RESOLVED"]
    assert story.book.alerts == ()
    assert story.after(5, False) == []


def test_the_gap_between_reminders_ends_at_a_day() -> None:
    story = AlertStory()
    story.after(0, True)
    for _ in range(12):
        story.after(86_400, True)
    assert story.after(86_399, True) == []
    assert story.after(1, True) == ["REPEATED"]


def test_what_has_to_last_is_raised_when_it_has_lasted_and_forgotten_when_it_has_not() -> None:
    story = AlertStory("node-gone", "node1")
    assert story.after(0, True) == [] and story.after(59, True) == []
    assert story.after(0, False) == [] and story.book.alerts == ()
    assert story.after(5, True) == []
    assert story.after(60, True) == ["RAISED"]
    assert story.book.raised[0].since == story.now - 60


def test_what_flickers_is_one_alert() -> None:
    story = AlertStory()
    assert story.after(0, True) == ["RAISED"]
    for _ in range(5):
        assert story.after(20, False) == []
        assert story.after(5, True) == []
    assert story.after(30, False) == ["RESOLVED"]


def test_quiet_hours_hold_a_warning_back_until_they_are_over_and_nothing_that_is_urgent() -> None:
    urgent, warning = AlertStory("nas-gone"), AlertStory("breaker-open", "media.cut")
    assert urgent.after(0, True, is_quiet=True) == ["RAISED"]
    assert warning.after(0, True, is_quiet=True) == ["raised"]
    assert warning.after(9000, True, is_quiet=True) == []
    assert warning.after(5, True) == ["(RAISED)"]
    assert warning.after(9000, True, is_quiet=True) == [], "a reminder is no news either"


def test_what_came_and_went_in_quiet_hours_is_on_record_only() -> None:
    story = AlertStory("breaker-open", "media.cut")
    assert story.after(0, True, is_quiet=True) == ["raised"]
    assert story.after(60, False, is_quiet=True) == ["resolved"]
    assert story.after(60, False) == [] and story.book.alerts == ()


def test_the_word_that_it_is_over_waits_for_the_end_of_quiet_hours() -> None:
    story = AlertStory("breaker-open", "media.cut")
    assert story.after(0, True) == ["RAISED"]
    assert story.after(60, False, is_quiet=True) == ["resolved"]
    assert story.book.raised == ()
    assert story.after(60, False) == ["(RESOLVED)"]
    assert story.book.alerts == ()


def test_who_was_not_told_that_it_was_over_is_not_told_that_it_is_back() -> None:
    story = AlertStory("breaker-open", "media.cut")
    assert story.after(0, True) == ["RAISED"]
    assert story.after(60, False, is_quiet=True) == ["resolved"]
    assert story.after(60, True, is_quiet=True) == ["raised"]
    assert story.after(60, True) == []
    assert story.after(60, False) == ["RESOLVED"]


def test_a_silenced_rule_is_on_record_and_said_when_the_silence_is_over() -> None:
    story = AlertStory()
    assert story.after(0, True, silenced=("nas-gone",)) == ["raised"]
    assert story.after(60, True, silenced=("nas-gone",)) == []
    assert story.after(60, True) == ["(RAISED)"]


def test_a_rule_that_is_switched_off_is_let_go_without_a_word() -> None:
    story = AlertStory()
    story.after(0, True)
    assert judge(story.book, {}, LIMITS, TELLING, story.now + 60) == Judged(
        book=AlertBook(at=story.now + 60), notices=()
    )


def test_what_a_silent_node_said_last_stands() -> None:
    story = AlertStory()
    story.after(0, True)
    assert story.after(600, False, unknown=("node1",)) == []
    assert story.book.raised
    assert story.after(29, False) == []
    assert story.after(1, False) == ["RESOLVED"]


def test_two_of_a_rule_are_two_alerts_and_the_bad_news_come_first() -> None:
    def look(*subjects: str) -> Sequence[AlertFinding]:
        return [AlertFinding(subject=subject, words=subject) for subject in subjects]

    book = judge(AlertBook(), {"nas-gone": look("a/x", "b/x")}, LIMITS, TELLING, NOW).book
    findings = {"nas-gone": look("b/x"), "breaker-open": look("k"), "failures": look("")}
    judged = judge(book, findings, LIMITS, TELLING, NOW + 60)  # pyright: ignore[reportArgumentType]
    assert [(n.kind, n.alert.rule, n.alert.subject) for n in told(judged.notices)] == [
        ("raised", "failures", ""),
        ("raised", "breaker-open", "k"),
        ("resolved", "nas-gone", "a/x"),
    ]
    assert [n.words for n in judged.notices if n.kind == "resolved"] == ["a/x can be used again"]
    assert [alert.subject for alert in judged.book.raised] == ["b/x", "", "k"]
