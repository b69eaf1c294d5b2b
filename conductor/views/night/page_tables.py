"""The tables of a report's file, most wanted first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from conductor.base.text import duration, many, printable, size
from conductor.views.night.answers import GATE_WORDS
from conductor.views.night.clock import NightClock
from conductor.views.night.document import (
    DeviceFigures,
    NightReport,
    OutputRow,
    RetryFigures,
    RootCause,
    WhatIf,
)

#: A cell: what stands there, and whether it is a number. Markup is only what `bars` draws.
Cell = tuple[str, bool]
STATE_SHAPES = {"read": "✓", "present": "○", "removed": "–", "altered": "✕", "missing": "✕"}


def tables(report: NightReport, clock: NightClock) -> str:
    return "\n".join(
        part
        for part in (
            _causes(report),
            _waiting(report),
            _gates(report),
            _devices(report),
            _ends(report, clock),
            _what_if(report.what_if),
            _retries(report),
            _tasks(report),
            _files(report),
            _sources(report, clock),
        )
        if part
    )


def word(value: object) -> Cell:
    return escape(printable(str(value))), False


def number(value: object) -> Cell:
    return escape(printable(str(value))), True


def table(title: str, labels: Sequence[str], rows: Iterable[Sequence[Cell]], aside: str = "") -> str:
    """Empty where there are no rows."""
    drawn = [_row(labels, row) for row in rows]
    if not drawn:
        return ""
    first = next(iter(drawn))
    is_number = [f'class="number" data-label="{escape(label)}"' in first for label in labels]
    head = "".join(
        f'<th scope="col"{" class=" + chr(34) + "number" + chr(34) if right else ""}>{escape(label)}</th>'
        for label, right in zip(labels, is_number, strict=True)
    )
    words = f'<p class="grey">{escape(printable(aside))}</p>' if aside else ""
    name = escape(title)
    return (
        f'<h2>{name}</h2>\n{words}<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(drawn)}</tbody></table></div>"
    )


def _row(labels: Sequence[str], row: Sequence[Cell]) -> str:
    cells = (
        f'<td class="number" data-label="{escape(label)}">{words}</td>'
        if right
        else f'<td data-label="{escape(label)}">{words}</td>'
        for label, (words, right) in zip(labels, row, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def bars(strip: Sequence[int], words: str) -> Cell:
    """The night from left to right; the higher, the more of that time."""
    drawn = "".join(
        f'<rect x="{at}" y="{100 - share}" width="1" height="{share}"/>'
        for at, share in enumerate(strip)
        if share
    )
    label = escape(printable(words))
    picture = (
        f'<svg viewBox="0 0 {len(strip)} 100" preserveAspectRatio="none" role="img" aria-label="{label}">'
    )
    return (f"{picture}{drawn}</svg>" if strip else "", False)


def nothing(title: str, words: str) -> str:
    return f"<h2>{escape(title)}</h2>\n<p>{escape(printable(words))}</p>"


# ── what is not done ──────────────────────────────────────────────────────────────────────────────────────


def _causes(report: NightReport) -> str:
    labels = ("Jobs", "Behind them", "Task", "Cause", "What it said", "Which", "Time lost")
    more = f"{many(report.more_causes, 'more cause')} in the JSON of `conductor report --json`" * bool(
        report.more_causes
    )
    return table("Not done, by root cause", labels, map(_cause, report.causes), more)


def _cause(row: RootCause) -> Sequence[Cell]:
    named = ", ".join(f"{job.file or job.task} [{job.job_id[:8]}]" for job in row.named)
    more = f" and {row.jobs - len(row.named)} more" if row.jobs > len(row.named) else ""
    return (
        number(row.jobs),
        number(row.behind),
        word(row.task),
        word(row.cause),
        word(row.message),
        word(named + more),
        number(duration(row.seconds)),
    )


def _waiting(report: NightReport) -> str:
    rows = (
        (
            number(row.jobs),
            word(row.task),
            word(row.backlog),
            word("✕ no wait will open it" if row.is_never else "○ waits"),
            word(", ".join(f"{gate} ({GATE_WORDS.get(gate, gate)})" for gate in row.gates)),
        )
        for row in report.waiting
    )
    return table("Waiting at the end", ("Jobs", "Task", "Backlog", "State", "For"), rows)


def _gates(report: NightReport) -> str:
    title = "Time lost, by gate"
    if not report.sources.ticks:
        return nothing(
            title, "Nothing was recorded: no tick of this time is kept (ticks.is_on, ticks.max_bytes)."
        )
    rows = (
        (
            word(f"{row.gate} ({GATE_WORDS.get(row.gate, row.gate)})"),
            number(duration(row.held_s)),
            number(duration(row.job_s)),
            bars(row.strip, f"when {row.gate} was closed"),
        )
        for row in report.gates
    )
    aside = "Gates that were closed together count each. The last column is the night from left to right."
    found = table(title, ("Gate", "Closed for", "Added up over jobs", "When"), rows, aside)
    return found or nothing(title, "No gate held a job back.")


# ── what there was ────────────────────────────────────────────────────────────────────────────────────────


def _devices(report: NightReport) -> str:
    labels = ("Host", "Device", "Jobs", "Busy", "Of the night", "In failed attempts", "VRAM", "When")
    span = report.until - report.since
    return table("Devices over the night", labels, (_device(row, span) for row in report.devices))


def _device(row: DeviceFigures, span: float) -> Sequence[Cell]:
    known = (
        (row.mean_promised_mib, "promised"),
        (row.mean_used_mib, "used on average"),
        (row.peak_mib, "at its peak"),
        (row.total_mib, "in all"),
    )
    vram = ", ".join(f"{size(value * 1048576)} {words}" for value, words in known if value is not None)
    return (
        word(row.node),
        word(row.device or "no device"),
        number(row.jobs),
        number(duration(row.busy_s)),
        number(f"{100 * row.busy_s / span:.0f} %" if span > 0 else ""),
        number(duration(row.failed_s)),
        word(vram),
        bars(row.strip, f"when {row.device or row.node} was busy"),
    )


def _ends(report: NightReport, clock: NightClock) -> str:
    ends = (
        (
            word(row.backlog or "all"),
            word(clock.time(row.said_at)),
            number(row.left),
            word(clock.time(row.ends_at)),
            word("not through" if row.ended_at is None else clock.time(row.ended_at)),
            number("" if row.ended_at is None else _off(row.ended_at - row.ends_at)),
        )
        for row in report.predicted_ends
    )
    tasks = (
        (
            word(row.task),
            number(row.jobs),
            number(duration(row.expected_s)),
            number(duration(row.took_s)),
            number(f"{100 * (row.took_s / row.expected_s - 1):+.0f} %" if row.expected_s else ""),
            number(f"{100 * row.median_off:.0f} %"),
        )
        for row in report.predicted_tasks
    )
    labels = ("Task", "Jobs", "Expected", "Took", "Off in all", "Half were off by at most")
    first = table(
        "Foretold and real: the end",
        ("Backlog", "Said at", "Left then", "Said", "Was", "Off by"),
        ends,
    )
    return "\n".join(part for part in (first, table("Foretold and real: durations", labels, tasks)) if part)


def _off(seconds: float) -> str:
    return f"{duration(abs(seconds))} {'later' if seconds > 0 else 'sooner'}"


def _what_if(found: WhatIf) -> str:
    title = "What one thing more would have bought"
    if found.played is None:
        return nothing(title, found.because)
    as_is = found.played.as_is
    rows = [
        (
            word(offer.words),
            number(duration(offer.makespan_s)),
            number("nothing" if abs(offer.share) < 0.0005 else _gain(offer.sooner_s, offer.share)),
            number(offer.more_done or ""),
        )
        for offer in found.played.offers
    ]
    aside = (
        f"{many(found.played.jobs, 'job')} of this night played through once more: as it is "
        f"{duration(as_is.makespan_s)} (it really took {duration(found.took_s)}). The rule: {found.rule}."
    )
    notes = "".join(f'<p class="grey">{escape(printable(note))}.</p>' for note in found.played.notes)
    return table(title, ("With", "Takes", "Sooner by", "More jobs can run"), rows, aside) + notes


def _gain(seconds: float, share: float) -> str:
    sign = "" if seconds >= 0 else "-"
    return f"{sign}{duration(abs(seconds))} ({100 * share:.1f} %)"


# ── what it was made of ───────────────────────────────────────────────────────────────────────────────────


def _retries(report: NightReport) -> str:
    labels = ("Task", "Cause", "Failed", "Of these free", "Jobs", "Recovered", "Dead", "Open", "Time lost",
              "Retries granted", "What it says")  # fmt: skip
    return table("Retries, by task and cause", labels, map(_retry, report.retries))


def _retry(row: RetryFigures) -> Sequence[Cell]:
    return (
        word(row.task),
        word(row.cause),
        number(row.failed),
        number(row.free),
        number(row.jobs),
        number(row.recovered),
        number(row.dead),
        number(row.open),
        number(duration(row.seconds)),
        number("no limit" if row.budget is None else row.budget),
        word(row.advice),
    )


def _tasks(report: NightReport) -> str:
    rows = (
        (
            word(row.task),
            number(row.done),
            number(row.not_done),
            number(row.attempts),
            number(duration(row.seconds)),
            number(row.outputs),
            number(size(row.bytes)),
        )
        for row in report.tasks
    )
    labels = ("Task", "Done", "Not done", "Attempts", "Time in attempts", "Files", "Size")
    return table("Work, by task", labels, rows)


def _files(report: NightReport) -> str:
    figures = report.outputs
    count = f"{len(figures.rows)} of {many(figures.files, 'file')} are listed"
    shown = f"{count}: those not as published first, then products"
    rows = map(_file, figures.rows)
    return table("Files", ("State", "File", "Task", "Size", "sha256", "Job"), rows, shown)


def _file(row: OutputRow) -> Sequence[Cell]:
    state = f"{STATE_SHAPES[row.state]} {row.state}"
    return (
        word(f"{state}: {row.fault}" if row.fault else state),
        word(row.path),
        word(row.task),
        number(size(row.bytes)),
        word(row.sha256[:16]),
        word(row.job_id[:12]),
    )


def _sources(report: NightReport, clock: NightClock) -> str:
    found = report.sources
    recorded = (
        "no recorded tick"
        if found.recorded_from is None or found.recorded_until is None
        else f"{many(found.ticks, 'recorded tick')} from {clock.time(found.recorded_from)} to "
        f"{clock.time(found.recorded_until)}"
    )
    skipped = f" ({found.skipped_ticks} could not be written)" if found.skipped_ticks else ""
    words = (
        f"{many(found.receipts, 'receipt')}, {many(found.manifests, 'manifest')}, "
        f"{many(found.notes, 'note')} of the journal, {recorded}{skipped}. Conductor {report.version}. "
        "Each figure is worked out again from these, and each that differs is named, by: "
        "conductor report --check FILE"
    )
    return nothing("What this is worked out of", words)
