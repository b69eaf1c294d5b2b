"""Who judges, who speaks, and what a restart says again: nothing."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import a_report, a_volume
from loguru import logger
from node_scene import until

from conductor.adapters.files.unsent_alerts import UnsentAlerts
from conductor.adapters.host.clock import ManualClock
from conductor.base.errors import Unreachable
from conductor.base.settings.alerts import AlertSettings
from conductor.model.alerts import AlertBook, AlertMessage
from conductor.node.alerts.sender import AlertSender
from conductor.node.alerts.watch import AlertWatch
from conductor.ports import Ledger

ALERTS = AlertSettings(off=("worker-gone", "scratch-low"), gone_s=60.0, redis_s=0.0)


class Mailbox:
    """A channel that keeps what it is given, and may be dead."""

    def __init__(self) -> None:
        self.name = "ALERT_TEST"
        self.fault = ""
        self.got: queue.Queue[AlertMessage] = queue.Queue()

    def send(self, message: AlertMessage) -> str:
        self.got.put(message)
        return self.fault

    def next(self) -> str:
        return self.got.get(timeout=10).body


@pytest.fixture
def box() -> Mailbox:
    return Mailbox()


@pytest.fixture
def events() -> Iterator[list[tuple[str, str]]]:
    found: list[tuple[str, str]] = []

    def keep(message: Any) -> None:
        extra = message.record["extra"]
        found.append((extra["event"], extra.get("rule", "")))

    sink = logger.add(keep, level="INFO", filter=lambda record: "event" in record["extra"])
    yield found
    logger.remove(sink)


@pytest.fixture
def senders() -> Iterator[list[AlertSender]]:
    found: list[AlertSender] = []
    yield found
    for sender in found:
        sender.stop()


@pytest.fixture
def watch(tmp_path: Path, box: Mailbox, senders: list[AlertSender]) -> Any:
    running: dict[str, AlertSender] = {}

    def made(ledger: Ledger, node: str = "node1", alerts: AlertSettings | None = None) -> AlertWatch:
        if (before := running.pop(node, None)) is not None:
            before.stop()  # One process a node: that before it has ended.
        sender = AlertSender([box], 20, "night", node, UnsentAlerts(tmp_path / "alerts" / f"{node}.json"))
        if alerts is None:
            sender.start()  # No thread of its own judges: the test does.
        senders.append(sender)
        running[node] = sender
        alerts = alerts or ALERTS
        return AlertWatch(ledger, alerts, tmp_path / "receipts", node, f"{node}-1", sender)

    return made


def report(ledger: Ledger, fault: str | None = None, ttl_s: float = 3600.0) -> None:
    volumes = (a_volume("nas", fault=fault),)
    ledger.reports.publish(a_report("node1", volumes=volumes), ttl_s)


def test_it_is_said_once_also_after_a_restart_and_when_it_is_over(
    memory_ledger: Ledger, clock: ManualClock, watch: Any, box: Mailbox, events: list[tuple[str, str]]
) -> None:
    report(memory_ledger, "not mounted")
    watch(memory_ledger).look()
    assert box.next().startswith("RAISED nas-gone node1/nas: the root nas")
    clock.advance(20)
    watch(memory_ledger).look()
    report(memory_ledger)
    clock.advance(31)
    again = watch(memory_ledger)
    again.look()
    assert box.next().startswith("OVER nas-gone node1/nas"), "the restart in between said nothing"
    assert box.got.empty()
    assert events == [("alert.raised", "nas-gone"), ("alert.resolved", "nas-gone")]


def test_a_warning_of_quiet_hours_is_told_once_at_their_end_and_what_is_urgent_at_once(
    memory_ledger: Ledger, clock: ManualClock, tmp_path: Path, box: Mailbox, senders: list[AlertSender]
) -> None:
    def on_the_wall(after_s: float) -> str:
        return time.strftime("%H:%M", time.localtime(clock.now() + after_s))

    quiet = AlertSettings(off=("worker-gone",), quiet=f"{on_the_wall(-3600)}-{on_the_wall(7200)}")
    sender = AlertSender([box], 20, "night", "node1", UnsentAlerts(tmp_path / "unsent.json"))
    senders.append(sender)
    sender.start()
    loop = AlertWatch(memory_ledger, quiet, tmp_path / "receipts", "node1", "node1-1", sender)
    full = a_volume("scratch", free_bytes=1 << 20)

    memory_ledger.reports.publish(a_report("node1", volumes=(full,)), 36_000.0)
    for _ in range(3):
        loop.look()
        clock.advance(600)
    assert box.got.empty() and "scratch-low" in {a.rule for a in memory_ledger.alerts.book().alerts}
    gone = a_volume("nas", fault="not mounted")
    memory_ledger.reports.publish(a_report("node1", volumes=(full, gone)), 36_000.0)
    loop.look()
    clock.advance(60)
    loop.look()
    said = box.next()
    assert "nas-gone" in said and "scratch-low" not in said

    clock.advance(7200)
    loop.look()
    assert box.next().startswith("RAISED scratch-low node1/scratch")
    clock.advance(60)
    loop.look()
    assert box.got.empty()


def test_one_node_speaks_and_another_when_that_one_has_gone(
    memory_ledger: Ledger, clock: ManualClock, watch: Any, box: Mailbox
) -> None:
    first, second = watch(memory_ledger, "node1"), watch(memory_ledger, "node2")
    first.look()
    report(memory_ledger, "not mounted")
    second.look()
    assert memory_ledger.alerts.book().speaker == "node1" and box.got.empty()
    clock.advance(16)
    second.look()
    assert box.next().startswith("RAISED")
    assert memory_ledger.alerts.book().speaker == "node2"
    first.look()
    assert box.got.empty()


def test_a_node_that_is_gone_is_missed_and_one_that_left_is_not(
    memory_ledger: Ledger, clock: ManualClock, watch: Any, box: Mailbox
) -> None:
    other = watch(memory_ledger, "node2")
    report(memory_ledger, ttl_s=10)
    other.look()
    clock.advance(30)
    other.look()
    assert box.got.empty(), "it may come back"
    clock.advance(60)
    other.look()
    assert box.next().startswith("RAISED node-gone node1: node node1 has not reported for 1 min 30 s")
    report(memory_ledger)
    other.look()
    memory_ledger.reports.withdraw("node1")
    clock.advance(61)
    other.look()
    assert box.next().startswith("OVER node-gone node1")
    clock.advance(61)
    other.look()
    assert box.got.empty() and memory_ledger.alerts.book().seen == {}


def test_a_conductor_that_was_killed_is_missed_and_one_that_was_put_away_is_not(
    memory_ledger: Ledger, clock: ManualClock, watch: Any, box: Mailbox
) -> None:
    judge = watch(memory_ledger)
    memory_ledger.leadership.lead("conductor-1", 2.0)
    memory_ledger.leadership.resign("conductor-1")
    for _ in range(3):
        clock.advance(61)
        judge.look()
    assert memory_ledger.alerts.book().alerts == ()
    memory_ledger.leadership.lead("conductor-1", 2.0)
    for _ in range(2):
        clock.advance(61)
        judge.look()
    assert box.next().startswith("RAISED conductor-gone: the conductor is gone")


def test_a_rule_that_is_silenced_is_on_record_and_not_said(
    memory_ledger: Ledger, clock: ManualClock, watch: Any, box: Mailbox
) -> None:
    memory_ledger.alerts.silence("nas-gone", 3600)
    report(memory_ledger, "not mounted", ttl_s=90_000)
    judge = watch(memory_ledger)
    judge.look()
    assert [alert.rule for alert in memory_ledger.alerts.book().raised] == ["nas-gone"]
    assert box.got.empty()
    clock.advance(3601)
    judge.look()
    assert box.next().startswith("RAISED nas-gone")


def test_what_became_of_messages_is_counted(
    memory_ledger: Ledger, clock: ManualClock, watch: Any, box: Mailbox, senders: list[AlertSender]
) -> None:
    box.fault = "refused"
    report(memory_ledger, "not mounted")
    judge = watch(memory_ledger)
    judge.look()
    box.next()
    while not senders[0].tallies()["ALERT_TEST"].failed:
        pass
    clock.advance(5)
    judge.look()
    tally = memory_ledger.alerts.book().channels["ALERT_TEST"]
    assert (tally.sent, tally.failed, tally.held, tally.fault) == (0, 1, 1, "refused")


def test_what_no_channel_took_is_said_once_by_the_node_that_is_started_again(
    memory_ledger: Ledger, watch: Any, box: Mailbox, senders: list[AlertSender]
) -> None:
    box.fault = "it is down"
    report(memory_ledger, "not mounted")
    watch(memory_ledger).look()
    said = box.next()
    until(lambda: senders[0].tallies()[box.name].failed == 1)
    senders[0].stop()

    box.fault = ""
    watch(memory_ledger).look()
    assert box.next() == said
    until(lambda: senders[1].tallies()[box.name].sent == 1)
    senders[1].stop()

    watch(memory_ledger).look()
    until(lambda: senders[2].tallies()[box.name].held == 0)
    assert box.got.empty(), "it has arrived, and is not said again"


def test_what_cannot_be_read_of_what_was_not_sent_keeps_no_node_from_beginning(tmp_path: Path) -> None:
    file = tmp_path / "unsent.json"
    file.write_text("no json")
    assert UnsentAlerts(file).load() == {}
    file.write_bytes(b'{"ALERT_TEST": [{"kind": 7}]}')
    assert UnsentAlerts(file).load() == {}


def test_without_redis_this_host_says_so_and_says_when_it_is_back(
    memory_ledger: Ledger, watch: Any, box: Mailbox
) -> None:
    class Gone:
        def __getattr__(self, name: str) -> Any:
            raise Unreachable("unix:///x does not answer")

    judge = watch(msgspec.structs.replace(memory_ledger, alerts=Gone()), "node7")
    judge.look()
    body = box.next()
    assert body.startswith("RAISED redis-gone: Redis has not answered for")
    assert "unix:///x does not answer" in body
    judge.look()
    assert box.got.empty()
    assert memory_ledger.alerts.book() == AlertBook()


def test_switched_off_nothing_is_judged(memory_ledger: Ledger, watch: Any) -> None:
    judge = watch(memory_ledger, alerts=AlertSettings(is_on=False))
    judge.start()
    judge.join(10)
    assert not judge.is_alive() and memory_ledger.alerts.book() == AlertBook()
    judge.stop()


def test_a_look_that_fails_is_not_the_last_one(
    memory_ledger: Ledger, watch: Any, events: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: queue.Queue[int] = queue.Queue()
    judge = watch(memory_ledger, alerts=AlertSettings(every_s=0.1))

    def look() -> None:
        looked.put(1)
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(judge, "look", look)
    judge.start()
    for _ in range(3):
        looked.get(timeout=10)
    judge.stop()
    assert events == [("alerts.not_judged", "")], "said once"
