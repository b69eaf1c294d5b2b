"""A project with the record of a night in it: dispatches, receipts, the operator's words, recorded ticks,
files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from builders import a_candidate, a_class, a_report, a_spec
from rebuild_scene import CATALOGUE

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.analysis.replay.recording import Files, folder_of
from conductor.analysis.replay.recording_frames import Tick
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.base.signing import Signer
from conductor.model.decision import Decision, Hold, Verdict
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.snapshot import Candidate, Reservation, Snapshot
from conductor.model.spec import JobSpec, Output
from conductor.record import manifest
from conductor.record.journal import Journal
from conductor.record.journal_notes import Note
from conductor.views.night.check import Checked, checked
from conductor.views.night.document import ClockSpan, NightReport
from conductor.views.night.make import NightMaker, NightPlace, NightSpan
from conductor.views.night.what_if import player

#: 2023-11-14, 18:00 to 08:00 by UTC.
SINCE = 1_699_984_800.0
UNTIL = SINCE + 14 * 3600
UTC_CLOCK = (ClockSpan(begins=SINCE - 604_800, offset_s=0, name="UTC"),)


class ReportScene:
    def __init__(self, folder: Path) -> None:
        config = (
            "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n[roots.published]\npath = 'published'\n"
        )
        (folder / CONFIG_NAME).write_text(config)
        self.folder = folder
        self.settings: Settings = load(folder)
        self.receipts_dir = self.settings.receipts_dir
        self.log = FileReceiptLog(self.receipts_dir, "w1")
        self._count = 0

    # ── what was to be done, and what was said ────────────────────────────────────────────────────────────

    def jobs(self, count: int, **changes: Any) -> list[JobSpec]:
        """Of one sort, each with a file that it publishes."""
        made: list[JobSpec] = []
        for _ in range(count):
            self._count += 1
            n = self._count
            writes = (Output(path=f"published:n/clip {n:03d}.json"),)
            made.append(a_spec(n, **{"writes": writes, **changes}))
        return made

    def dispatch(
        self,
        specs: Sequence[JobSpec],
        name: str = "night.jsonl",
        backlog: str = "night",
        at: float = SINCE - 60,
    ) -> None:
        path = self.folder / name
        manifest.write(path, specs)
        Journal(self.receipts_dir).dispatched(path, backlog, len(specs), "g")
        self._redate(at)

    def note(self, at: float, **fields: Any) -> None:
        journal = Journal(self.receipts_dir)
        number = 1 + max((note.n for note in journal.notes()), default=0)
        line = msgspec.json.encode(Note(at=at, n=number, **fields))
        self.receipts_dir.mkdir(parents=True, exist_ok=True)
        with journal.file.open("ab") as file:
            file.write(line + b"\n")

    def _redate(self, at: float) -> None:
        """The last note was written now; it is of then."""
        file = Journal(self.receipts_dir).file
        lines = file.read_bytes().splitlines()
        last = msgspec.json.decode(lines[-1], type=Note)
        lines[-1] = msgspec.json.encode(msgspec.structs.replace(last, at=at))
        file.write_bytes(b"\n".join(lines) + b"\n")

    # ── what was done ─────────────────────────────────────────────────────────────────────────────────────

    def done(
        self, spec: JobSpec, begins: float, took: float = 60.0, content: bytes = b"{}", **more: Any
    ) -> None:
        """`begins`: seconds after the night's beginning."""
        facts: list[OutputFact] = []
        for output in spec.writes:
            file = self.file(output.path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            facts.append(OutputFact(path=output.path, bytes=len(content), sha256=digest))
        self.receipt(spec, begins, took, outputs=tuple(facts), **more)

    def failed(
        self, spec: JobSpec, begins: float, took: float = 30.0, cause: str = "task_error", **more: Any
    ) -> None:
        values = {"message": "RuntimeError: it broke", **more}
        self.receipt(spec, begins, took, outcome="failed", cause=cause, **values)

    def receipt(self, spec: JobSpec, begins: float, took: float, **changes: Any) -> Receipt:
        values: dict[str, Any] = {"v": 1, "job_id": spec.id, "attempt": 1, "workflow": spec.workflow}
        values |= {"task": spec.task, "outcome": "ok", "node": "studio1", "worker": "w", "devices": ("gpu0",)}
        values |= {"started_at": SINCE + begins, "ended_at": SINCE + begins + took}
        receipt = Receipt(**{**values, **changes})
        self.log.append(receipt)
        return receipt

    def file(self, path: str) -> Path:
        root, _, relative = path.partition(":")
        return self.settings.roots[root].path / relative

    # ── what was recorded ─────────────────────────────────────────────────────────────────────────────────

    def record(self, *ticks: Tick) -> None:
        files = Files(folder_of(self.settings.layout), 64 << 20)
        for tick in ticks:
            files.append(tick)
        files.flush()
        files.close()

    # ── the report ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def place(self) -> NightPlace:
        return NightPlace(
            project=self.settings.project.name,
            receipts_dir=self.receipts_dir,
            layout=self.settings.layout,
            ticks=folder_of(self.settings.layout),
            catalogue=CATALOGUE,
        )

    @property
    def maker(self) -> NightMaker:
        return NightMaker(place=self.place, play=player(self.place.ticks, {}, {}))

    def report(
        self, since: float = SINCE, until: float = UNTIL, *, is_deep: bool = True, is_played: bool = False
    ) -> NightReport:
        night = NightSpan(
            since=since, until=until, clock=UTC_CLOCK, made_at=until, is_deep=is_deep, is_played=is_played
        )
        return self.maker.figures(night)

    def check(self, file: Path, signer: Signer | None = None) -> Checked:
        return checked(file, lambda theirs: self.maker.figures(self.maker.span_of(theirs, UTC_CLOCK)), signer)


def a_tick(
    at: float,
    holds: Sequence[Hold] = (),
    candidates: Sequence[Candidate] = (),
    reservations: Sequence[Reservation] = (),
    **node: Any,
) -> Tick:
    """`at`: seconds after the night's beginning."""
    now = SINCE + at
    report = a_report(sent_at=now, **node)
    return Tick(
        snapshot=Snapshot(now=now, nodes=(report,), reservations=tuple(reservations)),
        candidates=tuple(candidates),
        limits=Limits(),
        decision=Decision(now=now, hold=tuple(holds)),
    )


def held(name: str, *gates: str, waiting: int = 4) -> tuple[Hold, Candidate]:
    """A class of that name whose jobs these gates keep."""
    kind = a_class(id=name, task="media.cut")
    verdicts = tuple(
        Verdict(gate=gate, passed=False, reason=Reason.NO_ROOM)  # type: ignore[arg-type]
        for gate in gates
    )
    hold = Hold(class_id=name, backlog="b", task="media.cut", lane="gpu", waiting=waiting, verdicts=verdicts)
    return hold, a_candidate(kind, waiting=waiting)
