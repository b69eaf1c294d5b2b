"""What the record has of one job beside its receipts' own words: its life as steps, what it asked for and
what it took, what it read, what ran beside it, the tracebacks. Each is made of receipts, index, ledger and
printed output; no mount is touched for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from conductor.base.errors import ConfigError
from conductor.core.needs.learned_amounts import LEARNED, MIB, LearnedAmount
from conductor.model.decision import Hold
from conductor.model.job_row import AttemptRow, JobRow
from conductor.model.ledger_entries import JobView
from conductor.model.receipt import AdmittedNeeds, Receipt
from conductor.model.snapshot import Reservation
from conductor.model.spec import Needs, Value
from conductor.model.subject import subject_of_line
from conductor.ports import Ledger
from conductor.record.index.history import HistoryIndex
from conductor.views.job_log import printed_of, text_of

#: So many jobs beside it are named, and so many of those that it comes after are asked what they made.
MOST_BESIDE, MOST_MAKERS = 12, 20
MOST_TRACE = 64 << 10
#: A step that took less is not one that anybody looks at.
LEAST_S = 0.005
_BY_TIME = re.compile(r"(\d+)-\d+\Z")
_FAILED = re.compile(r"^\S+ attempt \d+ failed:\n", re.MULTILINE)

Step = Literal["waited", "ran", "failed", "verified", "shown"]


class LifeStep(Value, frozen=True, kw_only=True):
    """One stretch of its life. `gates`: of a wait, seconds for which each gate was closed to it; together
    they may be more than the wait, and less where nothing stood against it. `is_going`: until now."""

    what: Step
    since: float
    seconds: float
    attempt: int = 0
    gates: dict[str, float] = {}
    is_going: bool = False


class JobAmount(Value, frozen=True, kw_only=True):
    """`asked`: declared; `learned`: what was reserved instead; None: the same, or not known."""

    what: str
    unit: Literal["MiB", "bytes", "s"]
    asked: float | None = None
    learned: float | None = None
    used: float | None = None


class InputFile(Value, frozen=True, kw_only=True):
    """`bytes`: when it was planned, or made; None: not known. `made_by`: the job that made it."""

    path: str
    bytes: int | None = None
    made_by: str = ""


class ChainedJob(Value, frozen=True, kw_only=True):
    """A job before or behind this one. `state`: «unknown» where no backlog has it; `ended_at`:
    of its last attempt, as far as the index knows it."""

    job_id: str
    state: str
    subject: str = ""
    ended_at: float | None = None


class BesideIt(Value, frozen=True, kw_only=True):
    """A job that ran at the same time on one of its devices; on its host, where it had none. `ended_at`
    None: it runs still."""

    job_id: str
    subject: str
    device: str
    started_at: float
    ended_at: float | None = None
    outcome: str = ""


class AttemptTrace(Value, frozen=True, kw_only=True):
    """What its body raised, whole, as it was printed; only the host that ran it has this."""

    attempt: int
    text: str


# ── its life ──────────────────────────────────────────────────────────────────────────────────────────────


def life(job: JobView, receipts: Iterable[Receipt], hold: Hold | None, now: float) -> tuple[LifeStep, ...]:
    """From its dispatch to its end, or to `now` by the ledger's clock; receipts in their order."""
    return tuple(step for step in _steps(job, receipts, hold, now) if step.seconds >= LEAST_S)


def _steps(job: JobView, receipts: Iterable[Receipt], hold: Hold | None, now: float) -> Iterator[LifeStep]:
    at, spent = job.since, dict[str, float]()
    is_shown = False
    for receipt in receipts:
        if receipt.is_repeated or receipt.outcome == "superseded":
            yield LifeStep(
                what="shown", since=at, seconds=max(0.0, receipt.told_at - at), attempt=receipt.attempt
            )
            at, is_shown = max(at, receipt.told_at), receipt.outcome == "verdict"
            continue
        yield _wait(at, receipt.started_at, receipt.attempt, receipt.waited_for, spent)
        spent = receipt.waited_for or spent
        checked = min(receipt.checked_s, receipt.ended_at - receipt.started_at)
        ran = receipt.ended_at - receipt.started_at - checked
        what: Step = "failed" if receipt.outcome == "failed" else "ran"
        yield LifeStep(what=what, since=receipt.started_at, seconds=ran, attempt=receipt.attempt)
        verified_at = receipt.ended_at - checked
        yield LifeStep(what="verified", since=verified_at, seconds=checked, attempt=receipt.attempt)
        at, is_shown = receipt.ended_at, receipt.outcome == "review"
    yield from _going(job, hold, now, at, spent, is_shown=is_shown)


def _going(
    job: JobView, hold: Hold | None, now: float, at: float, spent: Mapping[str, float], *, is_shown: bool
) -> Iterator[LifeStep]:
    held = job.reservation
    if held is not None and held.started_at:
        yield _wait(at, held.started_at, held.attempt, held.waited_for, spent)
        ran = max(0.0, now - held.started_at)
        yield LifeStep(what="ran", since=held.started_at, seconds=ran, attempt=held.attempt, is_going=True)
    elif job.state in ("waiting", "admitted"):
        closed = {} if hold is None else hold.closed_since
        gates = {gate: round(now - max(at, since), 3) for gate, since in closed.items() if since < now}
        yield LifeStep(what="waited", since=at, seconds=max(0.0, now - at), gates=gates, is_going=True)
    elif job.state == "review" and is_shown:
        yield LifeStep(what="shown", since=at, seconds=max(0.0, now - at), is_going=True)


def _wait(
    since: float, until: float, attempt: int, gates: Mapping[str, float], spent: Mapping[str, float]
) -> LifeStep:
    """`gates`: since its dispatch; `spent`: of these, before the attempt before."""
    seconds = max(0.0, until - since)
    own = {gate: min(seconds, round(s - spent.get(gate, 0.0), 3)) for gate, s in gates.items()}
    return LifeStep(
        what="waited",
        since=since,
        seconds=seconds,
        attempt=attempt,
        gates={gate: s for gate, s in own.items() if s >= LEAST_S},
    )


# ── what it took ──────────────────────────────────────────────────────────────────────────────────────────


def amounts(job: JobView, receipts: Sequence[Receipt]) -> tuple[JobAmount, ...]:
    """Of what runs, or of the last attempt that has ended."""
    c, held = job.job_class, job.reservation
    told = [receipt for receipt in receipts if not receipt.is_repeated]
    last = told[-1] if held is None and told else None
    use = last.usage if last is not None else held.usage if held else None
    needs = last.asked.needs if last is not None and last.asked else c.needs
    found = [
        JobAmount(
            what=row.words,
            unit="MiB" if row.unit == MIB else "bytes",
            asked=row.declared(needs, sum(c.writes.values())) or None,
            learned=_learned(row, needs, last.asked if last is not None else held),
            used=row.peak(use) if use else None,
        )
        for row in LEARNED
    ]
    seconds = last.seconds if last is not None else None
    found.append(JobAmount(what="time", unit="s", asked=c.duration_s or None, used=seconds))
    return tuple(row for row in found if (row.asked, row.learned, row.used) != (None, None, None))


def _learned(row: LearnedAmount, needs: Needs, by: AdmittedNeeds | Reservation | None) -> int | None:
    """What was reserved, where that is another amount than the job asked for."""
    reserved = getattr(by, row.name) if by is not None and row.is_reserved else None
    # Zero: the gpu lane of a host without devices holds no VRAM, and nothing was learned by that.
    return reserved if reserved and reserved != getattr(needs, row.name) else None


# ── what it read ──────────────────────────────────────────────────────────────────────────────────────────


def read_files(line: Mapping[str, Any], history: HistoryIndex) -> tuple[InputFile, ...]:
    """Of its manifest line. Sizes are those of the plan's fingerprints, and of the receipts of the jobs that
    it comes after."""
    marks = {path: str(mark) for path, mark in (line.get("inputs") or {}).items()}
    reads = list(dict.fromkeys([*marks, *(line.get("reads") or ()), *(line.get("updates") or ())]))
    missing = set(reads) - marks.keys()
    made: dict[str, tuple[int, str]] = {}
    for other in list(line.get("after") or ())[:MOST_MAKERS] if missing else ():
        for receipt in history.receipts_of(other):
            made |= {
                output.path: (output.bytes, other) for output in receipt.outputs if output.path in missing
            }
    return tuple(_read_file(path, marks.get(path, ""), made.get(path)) for path in reads)


def _read_file(path: str, mark: str, made: tuple[int, str] | None) -> InputFile:
    if made is not None:
        return InputFile(path=path, bytes=made[0], made_by=made[1])
    by_time = _BY_TIME.match(mark)
    return InputFile(path=path, bytes=int(by_time[1]) if by_time else None)


def comes_after(line: Mapping[str, Any], ledger: Ledger, history: HistoryIndex) -> tuple[ChainedJob, ...]:
    """The first few of those that its line names."""
    ids = [str(other) for name in ("after", "after_ended") for other in line.get(name) or ()]
    return chained(ids[:MOST_MAKERS], ledger, history)


def chained(ids: Sequence[str], ledger: Ledger, history: HistoryIndex) -> tuple[ChainedJob, ...]:
    if not ids:
        return ()
    states, lines = ledger.jobs.states(ids), ledger.jobs.lines(ids)
    about = {job_id: subject_of_line(text, "") for job_id, text in lines.items()}
    rows: Mapping[str, JobRow] = {}
    with suppress(ConfigError):  # no index yet
        rows = history.rows_of(ids)
    return tuple(
        ChainedJob(
            job_id=other,
            state=states.get(other) or "unknown",
            subject=about.get(other, ""),
            ended_at=rows[other].ended_at if other in rows else None,
        )
        for other in ids
    )


# ── what ran beside it ────────────────────────────────────────────────────────────────────────────────────


def beside(
    job: JobView,
    receipts: Sequence[Receipt],
    history: HistoryIndex,
    going: Iterable[tuple[Reservation, str]],
    now: float,
) -> tuple[BesideIt, ...]:
    """While its last attempt ran. What runs now (`going`, with its subject) comes first."""
    held = job.reservation
    told = [receipt for receipt in receipts if not receipt.is_repeated]
    if held is not None and held.started_at:
        node, devices, since, until = held.node, held.devices, held.started_at, now
    elif held is None and told:
        last = told[-1]
        node, devices, since, until = last.node, last.devices, last.started_at, last.ended_at
    else:
        return ()
    found = [
        BesideIt(job_id=r.job_id, subject=subject, device=",".join(r.devices), started_at=r.started_at)
        for r, subject in going
        if r.job_id != job.job_id and r.node == node and r.started_at and r.started_at < until
    ]
    rows = history.ran_at(node, since, until)
    found += [_beside(job_id, subject, row) for job_id, subject, row in rows if job_id != job.job_id]
    there = set(devices)
    shared = (each for each in found if not there or there & set(each.device.split(",")))
    return tuple(shared)[:MOST_BESIDE]


def _beside(job_id: str, subject: str, row: AttemptRow) -> BesideIt:
    return BesideIt(
        job_id=job_id,
        subject=subject,
        device=row.device,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
    )


# ── tracebacks ────────────────────────────────────────────────────────────────────────────────────────────


def traces(logs_dir: Path, job_id: str, receipts: Iterable[Receipt]) -> tuple[AttemptTrace, ...]:
    """Of the attempts that failed, where this host has what they printed. Without secrets; for a terminal or
    a page it is to be escaped as everything that was printed."""
    failed = {receipt.body: receipt.attempt for receipt in receipts if receipt.outcome == "failed"}
    if not failed:
        return ()
    found: list[AttemptTrace] = []
    for printed in printed_of(logs_dir, job_id):
        if printed.body in failed:
            text = text_of(printed, logs_dir, job_id, MOST_TRACE)
            if trace := trace_in(text):
                found.append(AttemptTrace(attempt=failed[printed.body], text=trace))
    return tuple(found)


def trace_in(text: str) -> str:
    """What a worker wrote behind the body's own words; empty: nothing was raised."""
    begins = [match.end() for match in _FAILED.finditer(text)]
    return text[begins[-1] :].rstrip("\n") if begins else ""
