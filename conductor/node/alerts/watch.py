"""The thread of a node that judges: what is wrong now, who has to hear of it.

All nodes have it, and the one with the lease speaks; so «no conductor leads» is noticed by somebody who is
not the conductor. That Redis is gone is said by every host for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from loguru import logger
from msgspec.structs import replace

from conductor.adapters.files.unsent_alerts import UnsentAlerts
from conductor.base import hours
from conductor.base.errors import Unreachable
from conductor.base.files.layout import Layout
from conductor.base.logs.events import emit_event
from conductor.base.settings.alerts import AlertSettings
from conductor.core.alerts.judgement import Judged, TellingRule, judge
from conductor.core.alerts.observations import Observations
from conductor.core.alerts.rules import found
from conductor.model.alerts import AlertBook, AlertFinding, AlertNotice, AlertRuleName
from conductor.node.alerts.channels import channels_of
from conductor.node.alerts.event_tail import EventTail
from conductor.node.alerts.observe import observe
from conductor.node.alerts.receipt_tail import ReceiptTail
from conductor.node.alerts.sender import AlertSender
from conductor.node.health.report import Identity
from conductor.ports import Ledger

#: The lease to speak, in looks: another node speaks when this one was silent for so long.
LEASE_LOOKS = 3
LEAST_LEASE_S = 15.0


class AlertWatch(threading.Thread):
    """Started once; `stop` ends it."""

    def __init__(
        self,
        ledger: Ledger,
        alerts: AlertSettings,
        receipts_dir: Path,
        node: str,
        owner: str,
        sender: AlertSender,
    ) -> None:
        """`owner`: of the lease; unique to this process."""
        super().__init__(name="alerts", daemon=True)
        self._ledger = ledger
        self._alerts = alerts
        self._limits = alerts.thresholds
        self._telling = TellingRule(repeat_s=alerts.repeat_s, clear_s=alerts.clear_s)
        self._node, self._owner = node, owner
        self._sender = sender
        self._receipts, self._events = ReceiptTail(receipts_dir), EventTail()
        self._stopping = threading.Event()
        #: What this host alone knows: that Redis is gone.
        self._own = AlertBook()
        self._lost_since: float | None = None
        self._has_failed = False

    def stop(self) -> None:
        """Another node may speak at once."""
        self._stopping.set()
        if not self.is_alive():
            return
        self.join(2.0)
        self._sender.stop()
        try:
            self._ledger.alerts.hush(self._owner)
        except Unreachable:
            logger.debug("the lease to speak of alerts runs out by itself: Redis is away")

    def run(self) -> None:
        if not self._alerts.is_on:
            return
        self._sender.start()
        while not self._stopping.wait(self._alerts.every_s):
            try:
                self.look()
                self._has_failed = False
            except Exception as e:  # noqa: BLE001  one look that fails must not be the last one
                if not self._has_failed:
                    logger.opt(exception=True).debug("a look for alerts failed")
                    emit_event(
                        "alerts.not_judged", "Nothing is judged: {error}", error=f"{type(e).__name__}: {e}"
                    )
                self._has_failed = True

    def look(self) -> None:
        """Once: judge where it is this node's turn, and say what is news."""
        try:
            self._look_at_ledger()
        except Unreachable as e:
            now = time.time()
            self._lost_since = now if self._lost_since is None else self._lost_since
            self._judge_own(Observations(now=now, redis_lost_since=self._lost_since, redis_fault=str(e)))
        else:
            self._lost_since = None
            self._judge_own(Observations(now=time.time()))

    def _judge_own(self, seen: Observations) -> None:
        findings = found(seen, self._limits, self._alerts.off)
        own: AlertRuleName = "redis-gone"
        ours: Mapping[AlertRuleName, list[AlertFinding]] = {own: findings[own]} if own in findings else {}
        judged = judge(
            self._own, ours, self._limits, self._telling, seen.now, is_quiet=self._is_quiet(seen.now)
        )
        self._own = judged.book
        self._tell(judged.notices)

    def _look_at_ledger(self) -> None:
        lease_s = max(LEAST_LEASE_S, LEASE_LOOKS * self._alerts.every_s)
        if not self._ledger.alerts.speak(self._owner, lease_s):
            return
        book = self._ledger.alerts.book()
        seen = observe(self._ledger, book.seen, self._receipts, self._events)
        judged = self._judged(book, seen, self._ledger.alerts.silenced())
        book = replace(
            judged.book,
            speaker=self._node,
            seen=seen.seen,
            channels={**book.channels, **self._sender.tallies()},
        )
        # First: what could not be written down is found again, and would be said twice.
        if self._ledger.alerts.record(self._owner, book):
            self._tell(judged.notices)

    def _judged(self, book: AlertBook, seen: Observations, silenced: dict[str, float]) -> Judged:
        findings = found(seen, self._limits, self._alerts.off)
        findings.pop("redis-gone", None)
        return judge(
            book,
            findings,
            self._limits,
            self._telling,
            seen.now,
            is_quiet=self._is_quiet(seen.now),
            silenced=silenced,
            unknown=seen.silent,
        )

    def _is_quiet(self, now: float) -> bool:
        return hours.is_open(self._alerts.quiet_hours, hours.on_the_wall(now)[0])

    def _tell(self, notices: Sequence[AlertNotice]) -> None:
        for notice in notices:
            if notice.is_event:
                record(notice)
        self._sender.say([notice for notice in notices if notice.is_told])


def watch_alerts(
    alerts: AlertSettings,
    layout: Layout,
    secret_variables: frozenset[str],
    identity: Identity,
    ledger: Ledger,
) -> AlertWatch:
    """Of this node, not started yet."""
    owner = f"{identity.node}-{identity.pid}-{identity.boot_id}"
    channels = channels_of(alerts, layout.project, secret_variables)
    kept = UnsentAlerts(layout.state_dir / "alerts" / f"unsent-{identity.node}.json")
    sender = AlertSender(channels, alerts.most_per_hour, layout.project.name, identity.node, kept)
    return AlertWatch(ledger, alerts, layout.receipts_dir, identity.node, owner, sender)


def record(notice: AlertNotice) -> None:
    """As an event."""
    alert = notice.alert
    at = f" {alert.subject}" if alert.subject else ""
    if notice.kind == "raised":
        emit_event("alert.raised", "Alert {rule}{}: {why} (docs/runbooks/{runbook})", at, rule=alert.rule,
                   subject=alert.subject, why=alert.words, runbook=alert.runbook)  # fmt: skip
    elif notice.kind == "repeated":
        emit_event("alert.repeated", "Still {rule}{}: {why} (docs/runbooks/{runbook})", at, rule=alert.rule,
                   subject=alert.subject, why=alert.words, runbook=alert.runbook)  # fmt: skip
    else:
        emit_event("alert.resolved", "Over: {rule}{}: {why}", at, rule=alert.rule, subject=alert.subject,
                   why=notice.words)  # fmt: skip
