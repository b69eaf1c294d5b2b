"""The tables of an ads store, and what is written to them: one SQL for SQLite and PostgreSQL.

An event counts once, whatever runs twice: its row and its change of the posteriors are one transaction, and
who finds the row there changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from conductor.ports.store import SqlStore, SqlTransaction
from workers.ads.revenue import LeadOutcome
from workers.ads.sampler import Arm
from workers.ads.shares import shared_out
from workers.task_api.store import make_tables as made_where_missing

TABLES = (
    "CREATE TABLE IF NOT EXISTS ads_leads (lead TEXT PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS ads_events (event TEXT PRIMARY KEY, lead TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL, outcome TEXT NOT NULL, expected_micros BIGINT NOT NULL,
    credit TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS ads_events_of_lead ON ads_events (lead)",
    """CREATE TABLE IF NOT EXISTS ads_arms (creative TEXT PRIMARY KEY, won_ppm BIGINT NOT NULL,
    lost_ppm BIGINT NOT NULL, expected_micros BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS ads_verdicts (creative TEXT PRIMARY KEY, is_paused INTEGER NOT NULL,
    day TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS ads_vectors (embedder TEXT NOT NULL, creative TEXT NOT NULL,
    content TEXT NOT NULL, words TEXT NOT NULL, vector BYTEA NOT NULL, PRIMARY KEY (embedder, creative))""",
)
# Whoever writes this row first has the lead until its transaction ends: two events of a lead take turns.
TAKE_LEAD = "INSERT INTO ads_leads (lead) VALUES ($1) ON CONFLICT (lead) DO UPDATE SET lead = excluded.lead"
ADD_EVENT = """INSERT INTO ads_events (event, lead, at, outcome, expected_micros, credit)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (event) DO NOTHING"""
EVENT = "SELECT event, lead, at, outcome, expected_micros, credit FROM ads_events"
ADD_TO_ARM = """INSERT INTO ads_arms (creative, won_ppm, lost_ppm, expected_micros) VALUES ($1, $2, $3, $4)
ON CONFLICT (creative) DO UPDATE SET won_ppm = ads_arms.won_ppm + excluded.won_ppm,
lost_ppm = ads_arms.lost_ppm + excluded.lost_ppm,
expected_micros = ads_arms.expected_micros + excluded.expected_micros"""
ARMS = "SELECT creative, won_ppm, lost_ppm, expected_micros FROM ads_arms"
SET_VERDICT = """INSERT INTO ads_verdicts (creative, is_paused, day, who, note) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (creative) DO UPDATE SET is_paused = excluded.is_paused, day = excluded.day, who = excluded.who,
note = excluded.note"""
VERDICTS = "SELECT creative, is_paused, day, who, note FROM ads_verdicts"


class CountedEvent(NamedTuple):
    """What an event says of its lead from then on. `credit`: creative → parts of a million."""

    event: str
    lead: str
    at: float
    outcome: LeadOutcome
    expected_micros: int
    credit: Mapping[str, int]


class ArmTotals(NamedTuple):
    """What a creative has, by the latest event of each lead."""

    won_ppm: int = 0
    lost_ppm: int = 0
    expected_micros: int = 0


class PauseVerdict(NamedTuple):
    """What a person said of a worn-out creative. `day`: the last one of the figures that they saw."""

    creative: str
    is_paused: bool
    day: str
    who: str
    note: str


def make_tables(store: SqlStore) -> None:
    """Where they are not there."""
    made_where_missing(store, TABLES, "ads_vectors")


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────


def count_event(change: SqlTransaction, event: CountedEvent) -> bool:
    """False: it was counted before, and nothing changes."""
    change.execute(TAKE_LEAD, [event.lead])
    credit = msgspec.json.encode(event.credit, order="deterministic").decode()
    row = (event.event, event.lead, event.at, event.outcome, event.expected_micros, credit)
    if not change.execute(ADD_EVENT, row):
        return False
    others = [event_of(row) for row in change.rows(f"{EVENT} WHERE lead = $1", [event.lead])]
    before = latest_of(other for other in others if other.event != event.event)
    if before is None or order_of(before) < order_of(event):
        _move(change, before, event)
    return True


def _move(change: SqlTransaction, before: CountedEvent | None, now: CountedEvent) -> None:
    """The lead is no more where it was. By name: two leads that share creatives never wait in a ring."""
    gone, come = part_of(before) if before else {}, part_of(now)
    for creative in sorted(gone.keys() | come.keys()):
        old, new = gone.get(creative, ArmTotals()), come.get(creative, ArmTotals())
        added = [b - a for a, b in zip(old, new, strict=True)]
        if any(added):
            change.execute(ADD_TO_ARM, [creative, *added])


def part_of(event: CountedEvent) -> dict[str, ArmTotals]:
    """What each creative has of this lead."""
    if not event.credit:
        return {}
    value = shared_out(event.expected_micros, dict(event.credit)) if event.expected_micros else {}
    return {
        creative: ArmTotals(
            won_ppm=part if event.outcome == "won" else 0,
            lost_ppm=part if event.outcome == "lost" else 0,
            expected_micros=value.get(creative, 0),
        )
        for creative, part in event.credit.items()
    }


def order_of(event: CountedEvent) -> tuple[float, str]:
    """Of two events of one instant the one with the later name stands: some order, and always the same."""
    return event.at, event.event


def latest_of(events: Iterable[CountedEvent]) -> CountedEvent | None:
    return max(events, key=order_of, default=None)


def event_of(row: tuple[object, ...]) -> CountedEvent:
    event, lead, at, outcome, expected, credit = row
    return msgspec.convert(
        (event, lead, at, outcome, expected, msgspec.json.decode(str(credit))), CountedEvent, strict=False
    )


def totals_of(events: Iterable[CountedEvent]) -> dict[str, ArmTotals]:
    """The posteriors, worked out anew from events in any order; creatives that have nothing are left out."""
    by_lead: dict[str, CountedEvent] = {}
    for event in events:
        known = by_lead.get(event.lead)
        if known is None or order_of(known) < order_of(event):
            by_lead[event.lead] = event
    found: dict[str, ArmTotals] = {}
    for event in by_lead.values():
        for creative, part in part_of(event).items():
            old = found.get(creative, ArmTotals())
            found[creative] = ArmTotals(*(a + b for a, b in zip(old, part, strict=True)))
    return {creative: totals for creative, totals in found.items() if any(totals)}


def totals_in(rows: Iterable[tuple[object, ...]]) -> dict[str, ArmTotals]:
    """As the store has them."""
    found = {str(row[0]): ArmTotals(*(int(str(n)) for n in row[1:])) for row in rows}
    return {creative: totals for creative, totals in found.items() if any(totals)}


def arms_of(totals: Mapping[str, ArmTotals]) -> list[Arm]:
    """By name."""
    return [Arm(creative, one.won_ppm, one.lost_ppm) for creative, one in sorted(totals.items())]


# ── verdicts ──────────────────────────────────────────────────────────────────────────────────────────────


def verdicts_in(rows: Iterable[tuple[object, ...]]) -> dict[str, PauseVerdict]:
    return {
        str(creative): PauseVerdict(str(creative), bool(is_paused), str(day), str(who), str(note))
        for creative, is_paused, day, who, note in rows
    }
