"""What was found → what is raised, repeated, resolved, and who hears of it now. Pure: the book goes in and
comes out.

An alert is pending until it has lasted as long as its rule says, then raised, and over once it was not found
for `clear_s`. People are told when it is raised, again after `repeat_s` and twice as long each time, and when
it is over, if they had been told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from conductor.core.alerts.rules import RULES, runbook_of
from conductor.model.alerts import (
    Alert,
    AlertBook,
    AlertFinding,
    AlertNotice,
    AlertRuleName,
    AlertThresholds,
)
from conductor.model.spec import Value

MOST_REPEAT_S = 86_400.0

Key = tuple[str, str]


class TellingRule(Value, frozen=True, kw_only=True):
    """When people are told."""

    #: A reminder after so long, the next after twice that, a day at most. 0: never.
    repeat_s: float = 14_400.0
    #: Not found for so long: it is over. What flickers is one alert.
    clear_s: float = 30.0


class Judged(Value, frozen=True, kw_only=True):
    book: AlertBook
    notices: tuple[AlertNotice, ...]


def judge(
    book: AlertBook,
    findings: Mapping[AlertRuleName, Sequence[AlertFinding]],
    limits: AlertThresholds,
    telling: TellingRule,
    now: float,
    *,
    is_quiet: bool = False,
    silenced: Collection[str] = (),
    unknown: Collection[str] = (),
) -> Judged:
    """`findings`: of each rule that was asked; alerts of other rules are dropped without a notice.
    `is_quiet`: only urgent alerts are told. `silenced`: rules of which nobody is told. `unknown`: nodes that
    are silent, whose last findings stand."""
    known = {alert.key: alert for alert in book.alerts if alert.rule in findings}
    seen = {(rule, finding.subject): finding for rule, those in findings.items() for finding in those}
    alerts: list[Alert] = []
    notices: list[AlertNotice] = []

    def may_tell(alert: Alert) -> bool:
        return alert.rule not in silenced and (alert.level == "urgent" or not is_quiet)

    for key in sorted({*known, *seen}):
        before, finding = known.get(key), seen.get(key)
        if finding is None and before is not None and before.subject.partition("/")[0] in unknown:
            alerts.append(replace(before, last_at=now))
            continue
        if finding is not None:
            after, said = _found(before, key, finding, limits, telling, now, may_tell)
        else:
            assert before is not None, "a key is known or seen"
            after, said = _not_found(before, telling, now, may_tell)
        alerts += [after] if after is not None else []
        notices += [said] if said is not None else []
    return Judged(book=replace(book, at=now, alerts=tuple(alerts)), notices=tuple(notices))


MayTell = Callable[[Alert], bool]
Step = tuple[Alert | None, AlertNotice | None]


def _found(
    before: Alert | None,
    key: Key,
    finding: AlertFinding,
    limits: AlertThresholds,
    telling: TellingRule,
    now: float,
    may_tell: MayTell,
) -> Step:
    alert = before or _new(key, finding, now)
    alert = replace(alert, words=finding.words, figures=finding.figures, last_at=now)
    is_event = False
    if alert.over_at is not None:
        # The word that it was over had not gone out: for people it never was. A reminder is due from now on.
        alert, is_event = replace(alert, over_at=None, raised_at=now, since=now, told_at=now), True
    elif alert.raised_at is None:
        if now - alert.since < RULES[alert.rule].after_s(limits):
            return alert, None
        alert, is_event = replace(alert, raised_at=now), True
    if alert.told_at is None and may_tell(alert):
        told = replace(alert, told_at=now, times=1)
        return told, AlertNotice(kind="raised", alert=told, is_event=is_event)
    if is_event:
        return alert, AlertNotice(kind="raised", alert=alert, is_told=False)
    if _is_due(alert, telling, now) and may_tell(alert):
        told = replace(alert, told_at=now, times=alert.times + 1)
        return told, AlertNotice(kind="repeated", alert=told)
    return alert, None


def _new(key: Key, finding: AlertFinding, now: float) -> Alert:
    rule: AlertRuleName = key[0]  # pyright: ignore[reportAssignmentType]  it came out of the table
    return Alert(
        rule=rule,
        subject=finding.subject,
        level=RULES[rule].level,
        words=finding.words,
        runbook=runbook_of(rule),
        since=now,
        last_at=now,
    )


def _is_due(alert: Alert, telling: TellingRule, now: float) -> bool:
    if not telling.repeat_s or alert.told_at is None:
        return False
    return now - alert.told_at >= min(MOST_REPEAT_S, telling.repeat_s * 2 ** min(alert.times - 1, 16))


def _not_found(alert: Alert, telling: TellingRule, now: float, may_tell: MayTell) -> Step:
    if alert.raised_at is None:
        return None, None
    if alert.over_at is None and now - alert.last_at < telling.clear_s:
        return alert, None
    is_event = alert.over_at is None
    alert = replace(alert, over_at=alert.over_at or now)
    words = RULES[alert.rule].over.format(alert.subject or "it")
    if alert.told_at is None:
        return None, AlertNotice(kind="resolved", alert=alert, is_event=is_event, is_told=False, words=words)
    if may_tell(alert):
        return None, AlertNotice(kind="resolved", alert=alert, is_event=is_event, words=words)
    held = AlertNotice(kind="resolved", alert=alert, is_told=False, words=words)
    return alert, held if is_event else None


def told(notices: Sequence[AlertNotice]) -> Iterator[AlertNotice]:
    """Those that people are to hear, the bad news first."""
    order = {"raised": 0, "repeated": 1, "resolved": 2}
    wanted = (notice for notice in notices if notice.is_told)
    yield from sorted(wanted, key=lambda n: (order[n.kind], n.alert.level != "urgent", n.alert.key))
