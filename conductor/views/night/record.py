"""What the record says of a night, read once: receipts and journal up to its end, and the lines of all jobs
that were not done before it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from sys import intern
from typing import NamedTuple

import msgspec
from msgspec import Struct

from conductor.adapters.files.receipt_log import first_of, read_receipts
from conductor.base.errors import ManifestError
from conductor.model.causes import Cause
from conductor.model.job_class import kind_of
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec, TaskDecl, from_line
from conductor.model.subject import file_name, file_of
from conductor.record.dispatched_manifests import ledger_match
from conductor.record.journal import Journal
from conductor.record.journal_notes import PUT, Note
from conductor.record.manifest import opened
from conductor.record.open_reviews import OpenReviews

OnRead = Callable[[int], None]
#: Attempt, when it ended, token: by the first of them one receipt of several counts.
Mark = tuple[int, float, str]


class NightLine(Struct):
    """What is kept of a manifest line. `spec`: of jobs that were done in this night."""

    task: str
    file: str = ""
    backlog: str = ""
    kind: str = ""
    at: float = 0.0
    after: tuple[str, ...] = ()
    retry: Mapping[Cause, int] = {}
    spec: JobSpec | None = None


class JobAttempts(Struct):
    """All receipts of one job up to the end of the night. Of those that ended before it began, and ended
    well, only the mark is kept."""

    marks: dict[str, Mark] = {}
    taken_back: set[str] = set()
    oks: dict[str, Receipt] = {}
    failed: list[Receipt] = []
    #: Bodies that showed something to a person, and the words on some of it.
    shown: list[Receipt] = []

    @property
    def accepted(self) -> tuple[str, Mark] | None:
        """The body whose receipt counts, and its mark."""
        valid = [(body, mark) for body, mark in self.marks.items() if body not in self.taken_back]
        return min(valid, key=lambda each: each[1], default=None)

    def ended(self) -> Iterator[Receipt]:
        """Each body once; what only shows something has ended too."""
        told = {*self.oks, *(receipt.body for receipt in self.failed)}
        yield from self.oks.values()
        yield from self.failed
        for receipt in self.shown:
            if receipt.outcome == "review" and receipt.body not in told:
                told.add(receipt.body)
                yield receipt

    def asks(self, over: int) -> Receipt | None:
        """What waits for a person's verdict, of bodies after attempt `over`."""
        reviews = OpenReviews()
        for receipt in (*self.shown, *self.failed, *self.oks.values()):
            if receipt.body not in self.taken_back:
                reviews.add(receipt)
        found = reviews.found({receipt.job_id: over for receipt in self.shown})
        return next(iter(found.values()), None)


class OperatorsWord(NamedTuple):
    """`cause`: the job was failed as this; None: it was cancelled."""

    attempts: int
    cause: Cause | None
    at: float


class NightRecord(Struct, kw_only=True):
    since: float
    until: float
    #: Of jobs that were not done before the night: a line, where a manifest has one.
    lines: dict[str, NightLine]
    #: Of jobs of which any receipt was read, but for those that were done before the night.
    attempts: dict[str, JobAttempts]
    done_before: int
    notes: list[Note]
    #: Receipts that were read, manifests that were read, and what could not be.
    receipts: int
    manifests: int
    faults: tuple[str, ...] = ()

    def done(self) -> Iterator[tuple[str, Receipt]]:
        """Job and the receipt that counts, of those that were done in this night."""
        for job_id, attempts in self.attempts.items():
            if (accepted := attempts.accepted) is not None:
                yield job_id, attempts.oks[accepted[0]]

    def in_night(self) -> Iterator[Receipt]:
        """Attempts that ended in it; one that was taken back is not told twice."""
        for attempts in self.attempts.values():
            for receipt in attempts.ended():
                if receipt.ended_at >= self.since:
                    yield receipt

    def forgiven(self) -> tuple[dict[str, int], dict[str, OperatorsWord]]:
        """Job → attempts whose failures the operator forgave, and what was cancelled or failed by hand."""
        forgiven: dict[str, int] = {}
        stopped: dict[str, OperatorsWord] = {}
        for note in self.notes:
            if note.what == "cancelled":
                words = {job_id: OperatorsWord(n, note.cause, note.at) for job_id, n in note.ids.items()}
                stopped.update(words)
            elif note.what == "retried":
                forgiven.update(note.ids)
                for job_id in note.ids:
                    stopped.pop(job_id, None)
        return forgiven, stopped


def read_record(
    receipts_dir: Path,
    since: float,
    until: float,
    catalogue: Mapping[str, TaskDecl],
    on_read: OnRead = lambda lines: None,
) -> NightRecord:
    """Memory grows with the jobs of the night and with all that is not done, and by a mark for each job that
    was done before. Raises `OSError` for an archive that is damaged."""
    attempts, old, count = _attempts(read_receipts(receipts_dir), since, until, on_read)
    notes = [note for note in Journal(receipts_dir).notes() if note.at <= until]
    record = NightRecord(
        since=since,
        until=until,
        lines={},
        attempts=attempts,
        done_before=len(old),
        notes=notes,
        receipts=count,
        manifests=0,
    )
    _read_lines(record, receipts_dir, old, catalogue, lambda more: on_read(count + more))
    for job_id, theirs in attempts.items():
        if job_id not in record.lines:
            record.lines[job_id] = _line_of_receipts(theirs)
    return record


def _attempts(
    receipts: Iterable[Receipt], since: float, until: float, on_read: OnRead
) -> tuple[dict[str, JobAttempts], set[str], int]:
    """Attempts by job, the jobs that were done before, and how many receipts count at all."""
    #: Jobs with nothing but one old receipt that ended well: there may be a million of them.
    simple: dict[str, tuple[str, Mark]] = {}
    found: dict[str, JobAttempts] = {}
    count = 0
    for count, receipt in enumerate(_until(receipts, until), 1):
        if count % 1000 == 0:
            on_read(count)
        job_id = receipt.job_id
        is_old_ok = receipt.outcome == "ok" and receipt.told_at < since
        if is_old_ok and job_id not in found and job_id not in simple:
            simple[job_id] = (receipt.body, first_of(receipt))
            continue
        theirs = found.get(job_id)
        if theirs is None:
            theirs = found[job_id] = JobAttempts(marks={}, taken_back=set(), oks={}, failed=[], shown=[])
            if (known := simple.pop(job_id, None)) is not None:
                theirs.marks[known[0]] = known[1]
        _add(theirs, receipt, is_old_ok=is_old_ok)
    old = set(simple)
    for job_id, theirs in list(found.items()):
        accepted = theirs.accepted
        if accepted is not None and accepted[0] not in theirs.oks:
            old.add(job_id)
            del found[job_id]
    return found, old, count


def _until(receipts: Iterable[Receipt], until: float) -> Iterator[Receipt]:
    """What says that an earlier receipt counts no more holds whenever it was written."""
    return (r for r in receipts if r.told_at <= until or r.outcome == "superseded")


def _add(theirs: JobAttempts, receipt: Receipt, *, is_old_ok: bool) -> None:
    if receipt.outcome == "superseded":
        theirs.taken_back.add(receipt.body)
    elif receipt.outcome == "ok":
        # A line that was written twice over (a disk that failed in between) is one receipt.
        if theirs.marks.setdefault(receipt.body, first_of(receipt)) == first_of(receipt) and not is_old_ok:
            theirs.oks.setdefault(receipt.body, receipt)
    elif receipt.outcome in ("review", "verdict"):
        theirs.shown.append(receipt)
    elif all(other.body != receipt.body for other in theirs.failed):
        theirs.failed.append(receipt)


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────────────


class _IdOnly(Struct):
    id: str


_id_of = msgspec.json.Decoder(_IdOnly).decode


def _read_lines(
    record: NightRecord, receipts_dir: Path, old: set[str], catalogue: Mapping[str, TaskDecl], on_read: OnRead
) -> None:
    put = [note for note in record.notes if note.what in PUT]
    first_at: dict[tuple[str, str], float] = {}
    for note in put:
        first_at.setdefault((note.sha256, note.backlog), note.at)
    faults: list[str] = []
    lines = 0
    # Of a job in several the line of the last dispatch holds.
    for source in sorted(ledger_match(put, receipts_dir, None).sources, key=lambda each: each.order):
        content = source.content()
        if content is None:
            faults.append(
                f"{source.manifest.name}, as it was dispatched to backlog:{source.backlog}, is kept nowhere: "
                "of its jobs only those with receipts are counted"
            )
            continue
        record.manifests += 1
        at = first_at[source.sha256, source.backlog]
        try:
            for spec in _specs(content, old):
                lines += 1
                if lines % 1000 == 0:
                    on_read(lines)
                _keep_line(record, spec, source.backlog, at, catalogue.get(spec.task))
        except ManifestError as e:
            faults.append(f"{source.manifest.name} cannot be read to its end: {e}")
    record.faults = tuple(faults)


def _specs(file: Path, old: set[str]) -> Iterator[JobSpec]:
    with opened(file) as lines:
        for line in lines:
            try:
                if line.strip() and _id_of(line).id not in old:
                    yield from_line(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # of an earlier version: its receipts tell of it


def _keep_line(record: NightRecord, spec: JobSpec, backlog: str, at: float, decl: TaskDecl | None) -> None:
    known = record.lines.get(spec.id)
    theirs = record.attempts.get(spec.id)
    is_done = theirs is not None and theirs.accepted is not None
    record.lines[spec.id] = NightLine(
        task=intern(spec.task),
        file=file_of(spec),
        backlog=intern(backlog),
        kind=intern(spec.task if decl is None else kind_of(spec, decl)),
        at=at if known is None else known.at,
        after=() if is_done else spec.after,
        retry={**({} if decl is None else decl.retry), **(spec.retry or {})},
        spec=spec if is_done else None,
    )


def _line_of_receipts(theirs: JobAttempts) -> NightLine:
    receipts = (*theirs.oks.values(), *theirs.failed, *theirs.shown)
    if not receipts:
        return NightLine(task="unknown")
    outputs = next((receipt.outputs for receipt in receipts if receipt.outputs), ())
    return NightLine(
        task=receipts[0].task, file=file_name(outputs[0].path) if outputs else "", kind=receipts[0].task
    )
