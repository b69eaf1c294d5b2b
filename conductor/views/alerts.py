"""What is raised now, as the ledger has it: for the command line, the API and the page."""

from __future__ import annotations

from collections.abc import Iterator

from conductor.base.hours import about
from conductor.base.text import duration
from conductor.model.alerts import Alert, ChannelTally
from conductor.model.spec import Value
from conductor.ports import Ledger

#: Where nobody has judged for so long, nobody does.
STALE_S = 60.0
FOLDER = "docs/runbooks"


class AlertsNow(Value, frozen=True, kw_only=True):
    """Times are epoch seconds by the ledger's clock, `now` among them."""

    now: float
    #: When it was judged last, and which node did; 0: never.
    judged_at: float = 0.0
    speaker: str = ""
    #: The urgent ones first, then the oldest.
    alerts: tuple[Alert, ...] = ()
    #: Rule → until when nobody is told.
    silenced: dict[str, float] = {}
    channels: dict[str, ChannelTally] = {}

    @property
    def is_stale(self) -> bool:
        return self.now - self.judged_at > STALE_S


def alerts_now(ledger: Ledger) -> AlertsNow:
    """Three round trips. Raises `Unreachable`."""
    book = ledger.alerts.book()
    return AlertsNow(
        now=ledger.bell.now(),
        judged_at=book.at,
        speaker=book.speaker,
        alerts=book.raised,
        silenced=ledger.alerts.silenced(),
        channels=book.channels,
    )


def alert_lines(found: AlertsNow) -> Iterator[str]:
    """The names in them are anybody's: whoever shows them escapes them."""
    if not found.judged_at:
        yield "nobody has looked yet: a node does (`conductor up`, `conductor node`)"
    elif found.is_stale:
        ago = duration(found.now - found.judged_at)
        yield f"nobody has looked for {ago}: is a node up? What follows was so then"
    for alert in found.alerts:
        where = f"{alert.rule} {alert.subject}".rstrip()
        level = "URGENT" if alert.level == "urgent" else "warning"
        until = found.silenced.get(alert.rule)
        hushed = "" if until is None else f", silenced until {about(found.now)(until).removeprefix('about ')}"
        told = "" if alert.told_at is not None or hushed else ", nobody was told yet"
        yield f"{level}  {where}: {alert.words}"
        yield f"      for {duration(found.now - alert.since)}{hushed}{told}; {FOLDER}/{alert.runbook}"
    if found.judged_at and not found.alerts:
        yield "nothing is raised"
    raised = {alert.rule for alert in found.alerts}
    for rule, until in sorted(found.silenced.items()):
        if rule not in raised:
            yield f"{rule} is silenced until {about(found.now)(until).removeprefix('about ')}"
    for name, tally in sorted(found.channels.items()):
        if tally.fault:
            yield f"channel {name} is dead ({tally.failed} failed, {tally.held} wait): {tally.fault}"
