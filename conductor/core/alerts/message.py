"""Notices → the message that people read."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.base.text import duration, many, printable
from conductor.core.alerts.judgement import told
from conductor.model.alerts import AlertMessage, AlertNotice

#: So many lines; the rest is counted.
SHOWN = 20
#: What is said so much later than it was found says when that was: its channel was away.
LATE_S = 120.0
MARKS = {"raised": "RAISED", "repeated": "STILL", "resolved": "OVER"}


def message_of(notices: Sequence[AlertNotice], project: str, node: str, now: float) -> AlertMessage:
    """`notices`: those that are told, one at least. `now`: epoch seconds."""
    ordered = tuple(told(notices))
    bad = [notice for notice in ordered if notice.kind != "resolved"]
    over = len(ordered) - len(bad)
    lines = [line(notice, now) for notice in ordered[:SHOWN]]
    if (more := len(ordered) - SHOWN) > 0:
        lines.append(f"… and {more} more: `conductor alerts`")
    if len(ordered) == 1:
        what = headline(ordered[0])
    else:
        parts = (many(len(bad), "alert") if bad else "", f"{over} over" if over else "")
        what = ", ".join(part for part in parts if part)
    return AlertMessage(
        title=printable(f"{project}: {what}"),
        body="\n".join(lines),
        level="urgent" if any(notice.alert.level == "urgent" for notice in bad) else "warning",
        is_over=not bad,
        project=project,
        node=node,
        notices=ordered,
    )


def headline(notice: AlertNotice) -> str:
    """«raised: nas-gone node1/nas»."""
    return f"{MARKS[notice.kind].lower()}: {notice.alert.rule} {notice.alert.subject}".rstrip()


def line(notice: AlertNotice, now: float) -> str:
    """What it is about is somebody's file, job or server: what a terminal would obey is written out."""
    alert = notice.alert
    late_s = now - (alert.over_at or alert.last_at)
    late = f" ({duration(late_s)} ago)" if late_s > LATE_S else ""
    where = f"{alert.rule} {alert.subject}".rstrip()
    if notice.kind == "resolved":
        lasted = duration(max(0.0, (alert.over_at or alert.last_at) - alert.since))
        return printable(f"OVER {where}: {notice.words}, after {lasted}{late}")
    since = duration(max(0.0, alert.last_at - alert.since))
    age = f" (for {since})" if notice.kind == "repeated" else ""
    return printable(f"{MARKS[notice.kind]} {where}: {alert.words}{age}{late}. docs/runbooks/{alert.runbook}")
