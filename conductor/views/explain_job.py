"""The story of one job: where it is, why it waits, what became of its attempts. Told from the ledger and
receipts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
import orjson

from conductor.base.errors import ConfigError
from conductor.base.text import duration, many, printable, size
from conductor.core.admission.explain import jobs_named
from conductor.core.failures.history import said, tries
from conductor.core.needs.escalation import differences
from conductor.core.needs.learned_amounts import LEARNED, MIB, RAN_OUT_OF
from conductor.model.decision import Hold
from conductor.model.ledger_entries import WAITED_FOR, JobView
from conductor.model.pilot import PilotStates
from conductor.model.receipt import Receipt
from conductor.model.review import ItemVerdict, OpenReview
from conductor.model.snapshot import Reservation
from conductor.model.spec import Needs, Value
from conductor.model.subject import FileNames, file_of_line, named, subject_of_line
from conductor.ports import Ledger
from conductor.record.index.history import HistoryIndex
from conductor.views.engine_list import is_submitted, waits_for_pilot
from conductor.views.frozen_jobs import frozen_words
from conductor.views.job_record import (
    MOST_MAKERS,
    AttemptTrace,
    BesideIt,
    ChainedJob,
    InputFile,
    JobAmount,
    LifeStep,
    amounts,
    beside,
    chained,
    comes_after,
    life,
    read_files,
    traces,
)
from conductor.views.job_record_text import behind_lines, beside_lines, life_lines, read_lines, trace_lines
from conductor.views.outside_waits import outside_notes
from conductor.views.staleness import LedgerAge, aside, clock, ledger_age_of, no_conductor
from conductor.views.wait_causes import DeepestJob, roots_of
from conductor.views.wait_causes import lines as root_lines
from conductor.views.wait_reason import WaitingJob, waiting
from conductor.views.wait_reason import lines as waiting_lines

#: Of the jobs it waits for so many are named.
SHOWN_WAITS = 8
#: Of what runs elsewhere so many are named by their files.
MOST_ASKED = 200
#: A longer line (it comes after thousands) is not repeated.
MOST_LINE_BYTES = 16 << 10


class Story(Value, frozen=True, kw_only=True):
    """All there is to say about a job. `now` is the ledger's clock."""

    now: float
    job: JobView
    task: str = ""
    #: The name of the file that it is about; empty: it names none.
    file: str = ""
    workflow: str = ""
    #: Name of the manifest that it was dispatched with; empty: the index does not know it (yet).
    manifest: str = ""
    #: The first few of the jobs it waits for → their states («unknown» when no backlog has them); of all of
    #: them `job.waits` says how many are in which.
    waits_for: dict[str, str] = {}
    #: What these are about, as far as the ledger knows them.
    subjects: dict[str, str] = {}
    #: Behind those: who waits for nobody else, and why that one is not done.
    roots: tuple[DeepestJob, ...] = ()
    #: The gates that hold its class, as of the last tick.
    hold: Hold | None = None
    #: The same as this job's own answer, every gate with its numbers.
    waiting: WaitingJob | None = None
    receipts: tuple[Receipt, ...] = ()
    #: How often it was tried. Numbers of attempts leap when Redis is emptied (`core.failures.history`).
    tries: int = 0
    notes: tuple[str, ...] = ()
    #: Needs that failed attempts raised above the line's own.
    raised: tuple[str, ...] = ()
    #: Its life so far, step by step; what it asked for and took; what it read; what ran beside it.
    life: tuple[LifeStep, ...] = ()
    amounts: tuple[JobAmount, ...] = ()
    read: tuple[InputFile, ...] = ()
    comes_after: tuple[ChainedJob, ...] = ()
    #: How many jobs wait for this one, and the first few of them.
    waiting_behind: int = 0
    comes_before: tuple[ChainedJob, ...] = ()
    beside: tuple[BesideIt, ...] = ()
    #: Of the attempts that failed on this host.
    traces: tuple[AttemptTrace, ...] = ()
    #: How old this is, where nobody decides: gates and roots are as of its `as_of`.
    ledger_age: LedgerAge = LedgerAge()

    def called(self, job_id: str) -> str:
        """«media.cut · clip7.mp4 (k3v7…)»; the id alone of one that nobody knows."""
        subject = self.subjects.get(job_id, "")
        return f"{subject} ({job_id})" if subject else job_id


def explained(ledger: Ledger, job: JobView, history: HistoryIndex, logs_dir: Path) -> Story:
    """Read what is known of `job`; `history` finds its receipts, and need not be up to date."""
    line = orjson.loads(job.line)
    mine = history.receipts_of(job.job_id)
    is_free = job.state == "waiting" and not job.waits_for
    gates, now = ledger.gate_record.gates(), ledger.bell.now()
    hold = next((h for h in gates.holds if h.class_id == job.class_id), None) if is_free else None
    ledger_age = ledger_age_of(ledger, (job.reservation,) if job.reservation else (), gates, now)
    moment = ledger_age.moment(now)
    named_there = (hold.head, *jobs_named(hold)) if hold is not None else ()
    subjects = subjects_of(ledger, (*job.waits_for, *named_there))
    behind, waiters = ledger.jobs.waiters(job.job_id, MOST_MAKERS)
    states = ledger.pilots.states() if hold or job.reservation else PilotStates()
    is_long = len(job.line) > MOST_LINE_BYTES
    left_out = (
        (f"its line has {size(len(job.line))}: it is in its manifest, and left out here",) if is_long else ()
    )
    return Story(
        now=now,
        job=msgspec.structs.replace(job, line=b"") if is_long else job,
        task=line["task"],
        file=file_of_line(job.line),
        workflow=line["workflow"],
        manifest=manifest_of(history, job.job_id),
        waits_for={other: state_of(ledger, other) for other in job.waits_for},
        subjects=subjects,
        roots=roots_of(ledger, job, moment),
        hold=hold,
        waiting=None if hold is None else waiting(job, hold, moment, subjects),
        receipts=mine,
        tries=tries(job.attempts, numbers(mine)),
        notes=(
            *inherit_priorities(job, line),
            *outside_notes(ledger, job, gates.rates, now),
            *waits_for_pilot(hold, states, now),
            *is_submitted(job.reservation, states, now),
            *notes(ledger, job, hold),
            *left_out,
        ),
        raised=tuple(raised(job, line, mine)),
        life=life(job, mine, hold, now),
        amounts=amounts(job, mine),
        read=read_files(line, history),
        comes_after=comes_after(line, ledger, history),
        waiting_behind=behind,
        comes_before=chained(waiters, ledger, history),
        beside=beside(job, mine, history, going_beside(ledger, job), now),
        traces=traces(logs_dir, job.job_id, mine),
        ledger_age=ledger_age,
    )


def manifest_of(history: HistoryIndex, job_id: str) -> str:
    with suppress(ConfigError):  # no index yet, or a broken one
        row = history.job(job_id)
        return row.manifest if row is not None else ""
    return ""


def going_beside(ledger: Ledger, job: JobView) -> list[tuple[Reservation, str]]:
    """What is under way, each with its subject; of a job that has not begun nothing is asked."""
    if job.state == "waiting":
        return []
    held = [r for r in ledger.handover.reservations() if r.job_id != job.job_id and r.started_at]
    files = FileNames(ledger.jobs.lines).of(r.job_id for r in held[:MOST_ASKED])
    return [(r, named(r.task, files.get(r.job_id, ""))) for r in held]


def raised(job: JobView, line: dict[str, object], receipts: Sequence[Receipt]) -> list[str]:
    """«asks 14.2 GiB of VRAM instead of 10.0 GiB, after an out-of-memory at 12.9 GiB (attempt 1)»."""
    asked = msgspec.convert(line.get("needs") or {}, Needs)
    found = differences(asked, job.job_class.needs, job.failures)
    taught = [r for r in receipts if r.outcome == "failed" and r.cause in RAN_OUT_OF]
    if not found or not taught:
        return found
    last = taught[-1]
    row = RAN_OUT_OF[last.cause or "cuda_oom"]
    peak = None if row.has_files else row.peak(last.usage)
    at = f" at {row.shown(peak)}" if peak is not None else ""
    return [f"{', '.join(found)}, after {said(last.attempt, numbers(receipts))} ran out of {row.words}{at}"]


def numbers(receipts: Sequence[Receipt]) -> frozenset[int]:
    return frozenset(receipt.attempt for receipt in receipts)


def subjects_of(ledger: Ledger, ids: Sequence[str]) -> dict[str, str]:
    lines = ledger.jobs.lines(tuple(filter(None, ids))) if ids else {}
    return {job_id: subject_of_line(line, "") for job_id, line in lines.items()}


def state_of(ledger: Ledger, job_id: str) -> str:
    view = ledger.jobs.job(job_id)
    return view.state if view else "unknown"


def inherit_priorities(job: JobView, line: dict[str, object]) -> list[str]:
    """A priority that is not its own."""
    priority, own = job.job_class.priority, line.get("priority", 0)
    if job.state != "waiting" or priority == own:
        return []
    return [
        f"goes as of priority {priority}, which jobs that come after it hand down to it (its own is {own})"
    ]


def notes(ledger: Ledger, job: JobView, hold: Hold | None) -> list[str]:
    if job.state == "review":
        return [in_review(ledger, job)]
    if job.state != "waiting":
        return []
    if ledger.leadership.leader() is None:
        return ["no conductor is running, so nobody hands it over: `conductor up`, or `conductor conduct`"]
    if not job.waits_for and job.not_before is None and hold is None:
        return ["no gate holds it: it goes with the next tick, in its turn"]
    return []


def in_review(ledger: Ledger, job: JobView) -> str:
    if reviews := ledger.reviews.asked([job.job_id]):
        return shown_words(reviews[0])
    if job.waits_for:
        return "in review with the jobs it waits for: `conductor retry` of those brings it back"
    closed = [s for s in ledger.kinds.states()[0] if s.kind == job.job_class.kind and s.opened_at is not None]
    if not closed:
        return "in review; its kind is open again: `conductor retry --cause review`"
    state = max(closed, key=lambda s: s.last_at)
    return (
        f"in review: {state.failed} of {state.kind} failed alike ({state.cause}: {state.message}): "
        "fix it, then "
        "`conductor retry --cause review`"
    )


def shown_words(review: OpenReview) -> str:
    left, all_of_them = len(review.open_items), len(review.asked.items)
    of = f" of {all_of_them}" if left < all_of_them else ""
    first = review.asked.items[review.open_items[0] - 1].words if left else ""
    return (
        f"waits for a person's verdict on {left}{of} {'item' if all_of_them == 1 else 'items'}"
        f"{f' («{first}»)' if first else ''}: `conductor review accept {review.job_id[:12]}`, or reject"
    )


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def lines(story: Story) -> list[str]:
    """What `conductor explain` prints."""
    job = story.job
    out = [
        f"{job.job_id}  {named(story.task, story.file)} of {story.workflow}, backlog {job.backlog}",
        f"  {where(story)}",
    ]
    if (story.waits_for or story.hold) and (stale := aside(story.ledger_age, story.now)):
        out.append(f"  {stale.removeprefix(', ')}:")
    out += [f"  {line}" for line in waits_lines(story)]
    out += [f"  {line}" for line in root_lines(story.roots)]
    if story.hold is not None:
        if story.waiting is not None:
            out += [f"  {line}" for line in waiting_lines(story.waiting, story.ledger_age.moment(story.now))]
        out += [f"  {sentence}" for sentence in story.hold.learned]
    out += [f"  {note}" for note in (*story.raised, *story.notes)]
    if job.cause is not None:
        out.append(f"  last failure: {job.cause}: {job.message}")
    if job.failures:
        out.append("  failed attempts: " + ", ".join(f"{n} × {cause}" for cause, n in job.failures.items()))
    out += [f"  {line}" for line in behind_lines(story.waiting_behind, story.comes_before)]
    out += [f"  {line}" for line in life_lines(story.life)]
    out += [f"  {line}" for line in read_lines(story.read)]
    known, raised_by = numbers(story.receipts), {trace.attempt: trace for trace in story.traces}
    for receipt in story.receipts:
        out += receipt_lines(receipt, known)
        if receipt.outcome == "failed" and (trace := raised_by.pop(receipt.attempt, None)):
            out += [f"    {line}" for line in trace_lines(trace)]
    out += [f"  {line}" for line in beside_lines(story.beside)]
    return [printable(line) for line in out]


def waits_lines(story: Story) -> list[str]:
    """Each of a few; of many how many are in which state, and the first."""
    waits, named = (
        story.job.waits,
        [f"waits for {story.called(other)}: {state}" for other, state in story.waits_for.items()],
    )
    if sum(waits.values()) <= SHOWN_WAITS:
        return named
    counts = ", ".join(f"{waits[state]:,} {state}" for state in WAITED_FOR if state in waits)
    return [f"waits for {many(sum(waits.values()), 'job')}: {counts}; the first:", *named[:SHOWN_WAITS]]


def where(story: Story) -> str:
    """«waiting, dispatched 12 s ago», «running on studio1/gpu0 for 40 s, attempt 2, 45%»."""
    job, r = story.job, story.job.reservation
    ago = duration(story.now - job.since)
    if job.state == "waiting":
        is_later = job.not_before is not None and job.not_before > story.now
        again = f"; tried again in {duration((job.not_before or 0) - story.now)}" if is_later else ""
        return f"waiting, dispatched {ago} ago{again}"
    if r is None:
        return f"{job.state}, dispatched {ago} ago, {many(story.tries, 'attempt')}"
    place, since = "/".join((r.node, *r.devices)), r.started_at or r.admitted_at
    done = "" if r.progress is None else f", {r.progress:.0%} {r.note}".rstrip()
    if (until := story.ledger_age.unheard.get(job.job_id)) is not None:
        nobody = no_conductor(story.ledger_age, story.now)
        then = f"; {nobody}, so nobody takes it back" if nobody else ""
        heard = f"no word from its worker since {clock(until, story.now)}{then}"
        return f"was running on {place}, {said(r.attempt, numbers(story.receipts))}{done}: {heard}"
    if still := frozen_words(r, story.now):
        return f"{still}; on {place}, {said(r.attempt, numbers(story.receipts))}{done}"
    # Who was only handed over goes nowhere while nobody is there.
    old = aside(story.ledger_age, story.now) if job.state == "admitted" else ""
    lasts = duration((story.ledger_age.moment(story.now) if old else story.now) - since)
    return f"{job.state} on {place} for {lasts}, {said(r.attempt, numbers(story.receipts))}{done}{old}"


def verdict_words(verdict: ItemVerdict) -> str:
    """«item 1 rejected by ann at 08:12: too dark»."""
    note = f": {verdict.note}" if verdict.note else ""
    said = "accepted" if verdict.is_accepted else "rejected"
    at = datetime.fromtimestamp(verdict.at).strftime("%Y-%m-%d %H:%M")
    return f"item {verdict.item} {said} by {verdict.who}, {at}{note}"


def receipt_lines(receipt: Receipt, known: Collection[int]) -> list[str]:
    place = "/".join((receipt.node, *receipt.devices))
    # «KeyError at render.py:17»: the words have the first of it already.
    _, _, line = receipt.raised_at.partition(" at ")
    fault = f": {receipt.cause}: {receipt.message}{f' ({line})' if line else ''}" if receipt.cause else ""
    out = [
        f"  {said(receipt.attempt, known)}: {receipt.outcome}, {duration(receipt.seconds)} on {place}{fault}"
    ]
    peaks = [
        f"{value} MiB {row.words}"
        for row in LEARNED
        if row.unit == MIB and (value := row.peak(receipt.usage)) is not None
    ]
    if peaks:
        out.append(f"    at most {', '.join(peaks)}")
    if receipt.beyond:
        out.append(f"    beyond its word: {receipt.beyond}")
    if receipt.left_running:
        out.append(f"    left running, and ended with it: {', '.join(receipt.left_running)}")
    out += [f"    {verdict_words(verdict)}" for verdict in receipt.verdicts]
    out += [
        f"    {output.path}  {size(output.bytes)}  sha256 {output.sha256[:12]}" for output in receipt.outputs
    ]
    return out
