"""A report, worked out of the record of a project: the one way, for who makes it and for who checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.base.files.layout import Layout
from conductor.model.spec import TaskDecl
from conductor.views.night import statistics
from conductor.views.night.answers import answers_of, headline_of
from conductor.views.night.clock import NightClock
from conductor.views.night.document import (
    ClockSpan,
    NightReport,
    PredictedEnd,
    Sources,
    WhatIf,
)
from conductor.views.night.fates import JobFates, causes_of, fates_of
from conductor.views.night.outputs import OnLooked, outputs_of
from conductor.views.night.record import NightRecord, OnRead, read_record
from conductor.views.night.recorded import RecordedNight, recorded_in

NOT_ASKED = "It was not asked for (--quick): `conductor report` without it plays the night."
#: Plays the night with one thing more; `took_s`: what it really took.
Play = Callable[[NightRecord, float], WhatIf]


class NightPlace(Struct, frozen=True, kw_only=True):
    """Where a night's record lies, and what its tasks are."""

    project: str
    receipts_dir: Path
    layout: Layout
    ticks: Path
    catalogue: Mapping[str, TaskDecl]


class NightSpan(Struct, frozen=True, kw_only=True):
    """Which one, and how it is looked at."""

    since: float
    until: float
    clock: tuple[ClockSpan, ...]
    made_at: float
    is_deep: bool
    is_played: bool


class NightMaker(Struct, frozen=True, kw_only=True):
    """Makes reports of one project. `play`: where it is asked for."""

    place: NightPlace
    play: Play
    on_read: OnRead = lambda lines: None
    on_looked: OnLooked = lambda done, count: None

    def figures(self, night: NightSpan) -> NightReport:
        """Every figure, but no picture. Reads the record from its beginning to the end of the night. Raises
        `OSError` for an archive that is damaged."""
        return _figures(self.place, night, self.play, self.on_read, self.on_looked)

    @staticmethod
    def span_of(theirs: NightReport, clock: tuple[ClockSpan, ...], *, is_quick: bool = False) -> NightSpan:
        """For the same figures once more."""
        return NightSpan(
            since=theirs.since,
            until=theirs.until,
            clock=clock,
            made_at=theirs.made_at,
            is_deep=theirs.is_deep and not is_quick,
            is_played=theirs.is_played,
        )


def _figures(
    place: NightPlace, night: NightSpan, play: Play, on_read: OnRead, on_looked: OnLooked
) -> NightReport:
    since, until = night.since, night.until
    record = read_record(place.receipts_dir, since, until, place.catalogue, on_read)
    recorded = recorded_in(place.ticks, since, until)
    fates = fates_of(record, recorded.running)
    causes, more = causes_of(record, fates)
    last = max((fate.at for fate in fates.of.values() if fate.state == "done"), default=None)
    took = took_s(record)
    devices = statistics.devices_of(record, since, until)
    report = NightReport(
        project=place.project,
        version=version("conductor-jobs"),
        since=since,
        until=until,
        made_at=night.made_at,
        clock=night.clock,
        is_deep=night.is_deep,
        is_played=night.is_played,
        jobs=fates.figures(),
        last_done_at=last,
        tasks=statistics.tasks_of(record, fates),
        causes=causes,
        more_causes=more,
        retries=statistics.retries_of(record, fates),
        gates=recorded.gates(since, until),
        waiting=recorded.waiting,
        devices=recorded.with_vram(devices),
        predicted_tasks=statistics.predicted_of(record),
        predicted_ends=_predicted_ends(record, fates),
        what_if=play(record, took) if night.is_played else WhatIf(because=NOT_ASKED, took_s=took),
        outputs=outputs_of(record, place.receipts_dir, place.layout, on_looked, is_deep=night.is_deep),
        sources=_sources(record, recorded),
        notes=_notes(record, recorded),
    )
    return with_words(report)


def with_words(report: NightReport) -> NightReport:
    """With what is said of its figures."""
    clock = NightClock(report.clock, report.since, report.until)
    return replace(report, headline=headline_of(report, clock), answers=answers_of(report, clock))


def took_s(record: NightRecord) -> float:
    """From when the first attempt of the night began to when the last one ended."""
    receipts = list(record.in_night())
    begins = min((max(record.since, each.started_at) for each in receipts), default=0.0)
    return round(max((each.ended_at for each in receipts), default=0.0) - begins, 3)


def _predicted_ends(record: NightRecord, fates: JobFates) -> tuple[PredictedEnd, ...]:
    return tuple(
        PredictedEnd(
            backlog=note.backlog,
            said_at=note.at,
            left=note.jobs,
            ends_at=float(note.instant),
            ended_at=_ended_at(record, fates, note.backlog, note.at),
        )
        for note in record.notes
        if note.what == "foretold" and note.at >= record.since
    )


def _ended_at(record: NightRecord, fates: JobFates, backlog: str, said_at: float) -> float | None:
    """When the last of the jobs ended that the forecast was about; None: not all of them have."""
    ids = [
        job_id
        for job_id, line in record.lines.items()
        if line.at <= said_at and line.backlog == (backlog or line.backlog)
    ]
    ended = [fates.of[job_id] for job_id in ids]
    if not ended or any(fate.state in ("waiting", "running", "review") for fate in ended):
        return None
    return max(fate.at for fate in ended)


def _sources(record: NightRecord, recorded: RecordedNight) -> Sources:
    return Sources(
        receipts=record.receipts,
        manifests=record.manifests,
        notes=len(record.notes),
        ticks=recorded.ticks,
        skipped_ticks=recorded.skipped,
        recorded_from=recorded.first_at,
        recorded_until=recorded.last_at,
    )


def _notes(record: NightRecord, recorded: RecordedNight) -> tuple[str, ...]:
    fault = f"the recorded ticks could not be read to their end: {recorded.fault}" if recorded.fault else ""
    return (*record.faults, *([fault] if fault else []))
