"""A report in a terminal: the headline, the answers, and the few tables that fit there."""

from __future__ import annotations

from collections.abc import Iterator

from conductor.base.text import duration, table
from conductor.views.night.clock import NightClock
from conductor.views.night.document import NightReport

#: So many rows of a table; the file and --json have all.
MOST_ROWS = 10


def lines(report: NightReport) -> list[str]:
    clock = NightClock(report.clock, report.since, report.until)
    out = [report.headline, f"{clock.day(report.since)} to {clock.day(report.until)}", ""]
    for answer in report.answers:
        typed = [f"    {command}" for command in answer.commands]
        out += [f"{answer.question}  {answer.words}", *typed]
    out += _section("time lost, by gate", _gates(report))
    out += _section("retries", _retries(report))
    out += _section("with one thing more", _offers(report))
    return [*out, *(f"note: {note}" for note in report.notes)]


def _section(title: str, rows: list[tuple[object, ...]]) -> Iterator[str]:
    if len(rows) > 1:
        yield ""
        yield f"{title}:"
        yield from table(rows[: MOST_ROWS + 1])
        if len(rows) > MOST_ROWS + 1:
            yield f"  … and {len(rows) - MOST_ROWS - 1} more: --json lists all"


def _gates(report: NightReport) -> list[tuple[object, ...]]:
    rows = [(row.gate, duration(row.held_s), duration(row.job_s)) for row in report.gates]
    return [("gate", "closed for", "over jobs"), *rows]


def _retries(report: NightReport) -> list[tuple[object, ...]]:
    head = ("task", "cause", "failed", "free", "jobs", "recovered", "dead", "time lost", "")
    rows = [
        (
            row.task,
            row.cause,
            row.failed,
            row.free,
            row.jobs,
            row.recovered,
            row.dead,
            duration(row.seconds),
            row.advice,
        )
        for row in report.retries
    ]
    return [head, *rows]


def _offers(report: NightReport) -> list[tuple[object, ...]]:
    offers = () if report.what_if.played is None else report.what_if.played.offers
    rows = [
        (offer.words, duration(offer.makespan_s), f"{100 * offer.share:.1f} % sooner") for offer in offers
    ]
    return [("with", "takes", ""), *rows]
