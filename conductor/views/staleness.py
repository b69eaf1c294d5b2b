"""What is shown of a system that is down: as of when, and since when nobody decides. Times are epoch
seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor.base.hours import about
from conductor.model.decision import GateLedger
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value
from conductor.ports import Ledger


class LedgerAge(Value, frozen=True, kw_only=True):
    """How old what the ledger says is. `as_of`: the last tick that recorded its gates; None: none has."""

    has_leader: bool = True
    as_of: float | None = None
    #: When a conductor was heard last; None: never.
    heard_at: float | None = None
    #: Running attempts whose workers' word has run out: job → when it did. Whether they still run nobody
    #: knows.
    unheard: dict[str, float] = {}

    def moment(self, now: float) -> float:
        """That of which gates and their times are true."""
        return now if self.has_leader or self.as_of is None else min(now, self.as_of)

    def is_running(self, held: Reservation) -> bool:
        return held.state == "running" and held.job_id not in self.unheard


def ledger_age_of(ledger: Ledger, active: Sequence[Reservation], gates: GateLedger, now: float) -> LedgerAge:
    """Raises `Unreachable`."""
    leases = ledger.orphans.leases()
    running = (held.job_id for held in active if held.state == "running")
    return LedgerAge(
        has_leader=ledger.leadership.leader() is not None,
        as_of=gates.at or None,
        heard_at=ledger.leadership.heard_at(),
        unheard={job_id: leases[job_id] for job_id in running if leases.get(job_id, now) < now},
    )


def clock(at: float, now: float) -> str:
    """«18:04», «Tue 18:04»."""
    return about(now)(at).removeprefix("about ")


def no_conductor(ledger_age: LedgerAge, now: float) -> str:
    """«no conductor since 18:04»; empty while one leads."""
    if ledger_age.has_leader:
        return ""
    return (
        "no conductor has run here yet"
        if ledger_age.heard_at is None
        else (f"no conductor since {clock(ledger_age.heard_at, now)}")
    )


def aside(ledger_age: LedgerAge, now: float) -> str:
    """«, as of 18:04 (no conductor since 18:04)», behind the name of what is shown; empty while one leads."""
    if ledger_age.has_leader or ledger_age.as_of is None:
        return ""
    return f", as of {clock(ledger_age.as_of, now)} ({no_conductor(ledger_age, now)})"


def standstill(ledger_age: LedgerAge, active: Sequence[Reservation], now: float) -> str:
    """«nothing is running now: no conductor since 18:04»; empty while one leads."""
    if ledger_age.has_leader:
        return ""
    if any(ledger_age.is_running(held) for held in active):
        return f"what runs is finished, and nothing new starts: {no_conductor(ledger_age, now)}"
    return f"nothing is running now: {no_conductor(ledger_age, now)}"
