"""What people read, and when a channel is given it."""

from __future__ import annotations

from builders import NOW
from msgspec.structs import replace

from conductor.core.alerts.message import message_of
from conductor.core.alerts.outbox import MOST_WAITING, Outbox
from conductor.model.alerts import Alert, AlertNotice, NoticeKind

ALERT = Alert(
    rule="nas-gone",
    subject="node1/nas",
    level="urgent",
    words="the root nas is gone",
    runbook="nas-gone.md",
    since=NOW - 7200,
    last_at=NOW,
    raised_at=NOW - 7200,
)


def a_notice(kind: NoticeKind = "raised", **changes: object) -> AlertNotice:
    words = "node1/nas can be used again" if kind == "resolved" else ""
    return AlertNotice(kind=kind, alert=replace(ALERT, **changes), words=words)


def test_one_alert_is_in_the_title_and_has_its_runbook() -> None:
    message = message_of([a_notice()], "night", "node1", NOW)
    assert message.title == "night: raised: nas-gone node1/nas"
    assert message.body == "RAISED nas-gone node1/nas: the root nas is gone. docs/runbooks/nas-gone.md"
    assert (message.level, message.is_over) == ("urgent", False)


def test_a_reminder_and_an_end_say_for_how_long() -> None:
    assert "is gone (for 2 h 00 min)." in message_of([a_notice("repeated")], "night", "n", NOW).body
    over = message_of([a_notice("resolved", over_at=NOW + 60)], "night", "n", NOW)
    assert over.body == "OVER nas-gone node1/nas: node1/nas can be used again, after 2 h 01 min"
    assert over.is_over and over.level == "warning"


def test_what_its_channel_did_not_take_says_how_long_ago_it_was() -> None:
    body = message_of([a_notice()], "night", "n", NOW + 7500).body
    assert (
        body == "RAISED nas-gone node1/nas: the root nas is gone (2 h 05 min ago). docs/runbooks/nas-gone.md"
    )
    over = message_of([a_notice("resolved", over_at=NOW + 60)], "night", "n", NOW + 3660)
    assert over.body.endswith("can be used again, after 2 h 01 min (1 h 00 min ago)")


def test_many_are_counted_the_urgent_ones_first_and_the_rest_is_where_it_can_be_seen() -> None:
    notices = [a_notice(subject=f"node{n:02}", level="warning") for n in range(25)]
    message = message_of([a_notice("resolved"), *notices, a_notice(subject="z")], "night", "n", NOW)
    assert message.title == "night: 26 alerts, 1 over"
    lines = message.body.split("\n")
    assert lines[0].startswith("RAISED nas-gone z:") and len(lines) == 21
    assert lines[-1] == "… and 7 more: `conductor alerts`"


def test_a_strangers_name_forges_no_line() -> None:
    message = message_of([a_notice(subject="a\nOVER all", words="x\x1b[2J")], "ni\nght", "n", NOW)
    assert "\n" not in message.title + message.body and "\x1b" not in message.body


def test_what_waits_goes_together_and_a_failure_is_tried_again_later_and_later() -> None:
    box = Outbox(20)
    assert box.due_at(0.0) is None
    box.put([a_notice()])
    box.put([a_notice("resolved")])
    assert box.due_at(5.0) == 5.0
    taken = box.take()
    assert [notice.kind for notice in taken] == ["raised", "resolved"] and not len(box)
    box.put([a_notice("repeated")])
    box.failed(taken, 5.0)
    assert box.due_at(5.0) == 35.0
    taken = box.take()
    assert [notice.kind for notice in taken] == ["raised", "resolved", "repeated"]
    box.failed(taken, 35.0)
    assert box.due_at(36.0) == 95.0
    for _ in range(12):
        box.failed((), 100.0)
    assert box.due_at(100.0) == 700.0
    box.take()
    box.arrived(700.0)
    box.put([a_notice()])
    assert box.due_at(701.0) == 701.0


def test_a_flood_is_held_back_and_comes_with_the_next_message() -> None:
    box, said = Outbox(2), 0
    for minute in range(120):
        box.put([a_notice()])
        if box.due_at(minute * 60.0) == minute * 60.0:
            box.take()
            box.arrived(minute * 60.0)
            said += 1
    assert said == 4 and len(box) == 58


def test_a_channel_that_stays_dead_keeps_the_newest() -> None:
    box = Outbox(20)
    for n in range(MOST_WAITING + 9):
        box.put([a_notice(subject=str(n))])
        box.failed(box.take(), 0.0)
    assert next(notice.alert.subject for notice in box.take()) == "9"


def test_what_is_on_its_way_is_unsent_until_it_has_arrived() -> None:
    box = Outbox(20)
    box.put([a_notice()])
    taken = box.take()
    box.put([a_notice(subject="z")])
    assert (len(box), [n.alert.subject for n in box.unsent]) == (1, ["node1/nas", "z"])
    box.failed(taken, 0.0)
    assert len(box.unsent) == len(box) == 2
    box.take()
    box.arrived(60.0)
    assert box.unsent == ()
