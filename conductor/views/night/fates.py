"""What became of each job by the end of a night, by the record alone: the verdict that the ledger came to.
Pure."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from conductor.core.failures.history import Failure, verdict
from conductor.model.receipt import Receipt
from conductor.record.journal import in_review
from conductor.views.night.document import FateState, JobFigures, NamedJob, RootCause
from conductor.views.night.record import JobAttempts, NightLine, NightRecord, OperatorsWord

#: So many root causes are listed, and so many jobs named with each.
MOST_CAUSES, MOST_NAMED = 100, 8
#: So much of what a job shows is said.
MOST_WORDS = 3
#: Numbers, ids and names of files make no other cause of it.
_APART = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|[\w.-]*\.[A-Za-z0-9]{2,4}\b|[\d.]+")


class JobFate(Struct, kw_only=True):
    """`root`: the job for whose sake it never ran. `at`: when it came to that; 0: it did not yet."""

    state: FateState
    cause: str = ""
    message: str = ""
    at: float = 0.0
    root: str = ""
    #: In review, for it shows something to a person.
    is_shown: bool = False


class JobFates(Struct, kw_only=True):
    of: dict[str, JobFate]
    done_before: int
    since: float
    #: Of those that wait: after what is in review, and after others that are not done.
    behind_review: int = 0
    behind_others: int = 0

    def figures(self) -> JobFigures:
        count = Counter(fate.state for fate in self.of.values())
        earlier = sum(
            fate.state in ("dead", "cancelled") and fate.at < self.since for fate in self.of.values()
        )
        return JobFigures(
            done=count["done"],
            dead=count["dead"],
            behind=count["behind"],
            cancelled=count["cancelled"],
            review=count["review"],
            shown=sum(fate.is_shown for fate in self.of.values()),
            running=count["running"],
            waiting=count["waiting"],
            behind_review=self.behind_review,
            behind_others=self.behind_others,
            earlier=earlier,
            done_before=self.done_before,
        )


def fates_of(record: NightRecord, running: Collection[str]) -> JobFates:
    """`running`: jobs that were handed over and had not ended, by the last recorded tick."""
    forgiven, stopped = record.forgiven()
    aside, back = in_review(record.notes)
    going = set(running)
    found: dict[str, JobFate] = {}
    for job_id, line in record.lines.items():
        theirs = record.attempts.get(job_id)
        if theirs is not None and (accepted := theirs.accepted) is not None:
            found[job_id] = JobFate(state="done", at=theirs.oks[accepted[0]].told_at)
            continue
        fate = _not_done(line, theirs, forgiven.get(job_id, 0), stopped.get(job_id))
        asks = None if theirs is None or not theirs.shown else theirs.asks(forgiven.get(job_id, 0))
        if fate.state == "waiting" and asks is not None and asks.review is not None:
            words = "; ".join(item.words for item in asks.review.items[:MOST_WORDS])
            fate = JobFate(state="review", message=words, is_shown=True)
        elif fate.state == "waiting" and job_id in going:
            fate = JobFate(state="running")
        elif fate.state == "waiting" and line.kind in aside and job_id not in back[line.kind]:
            fate = JobFate(state="review", message=aside[line.kind])
        found[job_id] = fate
    _take_along(record.lines, found)
    seen, others = _waiting_behind(record.lines, found)
    return JobFates(
        of=found,
        done_before=record.done_before,
        since=record.since,
        behind_review=seen,
        behind_others=others,
    )


def _not_done(
    line: NightLine, theirs: JobAttempts | None, forgiven: int, stopped: OperatorsWord | None
) -> JobFate:
    failed: Sequence[Receipt] = () if theirs is None else theirs.failed
    if not failed and stopped is None:
        return JobFate(state="waiting")
    failures = [_failure(receipt) for receipt in failed]
    cancelled = None if stopped is None else stopped.attempts
    judged = verdict(failures, line.retry, forgiven, cancelled)
    at = max((receipt.told_at for receipt in failed), default=0.0)
    if judged.over == "cancelled" and stopped is not None:
        if stopped.cause is not None:
            return JobFate(state="dead", cause=stopped.cause, message="by the operator", at=stopped.at)
        return JobFate(state="cancelled", cause="cancelled", message="by the operator", at=stopped.at)
    if judged.over is not None:
        return JobFate(state=judged.over, cause=judged.cause or "task_error", message=judged.message, at=at)
    return JobFate(state="waiting", cause=judged.cause or "", message=judged.message)


def _failure(receipt: Receipt) -> Failure:
    return Failure(
        receipt.attempt,
        receipt.cause or "task_error",
        receipt.message,
        receipt.ended_at,
        is_lasting=receipt.is_lasting,
        is_free=receipt.is_free,
    )


def _waiting_behind(lines: Mapping[str, NightLine], found: Mapping[str, JobFate]) -> tuple[int, int]:
    """Of those that wait: how many come after one in review, and how many others after one not done."""
    behind = _behind(lines)
    seen: set[str] = set()
    row = deque(job_id for job_id, fate in found.items() if fate.state == "review")
    while row:
        for other in behind.get(row.popleft(), ()):
            if other not in seen and found[other].state == "waiting":
                seen.add(other)
                row.append(other)
    others = sum(
        fate.state == "waiting"
        and job_id not in seen
        and any(other in found and found[other].state != "done" for other in lines[job_id].after)
        for job_id, fate in found.items()
    )
    return len(seen), others


def _behind(lines: Mapping[str, NightLine]) -> dict[str, list[str]]:
    """Job → those that come after it."""
    behind: dict[str, list[str]] = {}
    for job_id, line in lines.items():
        for other in line.after:
            behind.setdefault(other, []).append(job_id)
    return behind


def _take_along(lines: Mapping[str, NightLine], found: dict[str, JobFate]) -> None:
    """Jobs behind those that are dead or cancelled, each under the first of them that it comes down to."""
    behind = _behind(lines)
    roots = sorted((fate.at, each) for each, fate in found.items() if fate.state in ("dead", "cancelled"))
    row = deque((job_id, job_id) for _, job_id in roots)
    while row:
        job_id, root = row.popleft()
        for other in behind.get(job_id, ()):
            if found[other].state in ("waiting", "review"):
                at = found[root].at
                found[other] = JobFate(state="behind", cause="dependency_dead", at=at, root=root)
                row.append((other, root))


# ── why ───────────────────────────────────────────────────────────────────────────────────────────────────


def causes_of(record: NightRecord, fates: JobFates) -> tuple[tuple[RootCause, ...], int]:
    """The root causes, those that keep most jobs first; and how many more there are than are listed."""
    behind = Counter(fate.root for fate in fates.of.values() if fate.state == "behind")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for job_id, fate in fates.of.items():
        if fate.state in ("dead", "cancelled"):
            key = fate.cause, record.lines[job_id].task, _APART.sub("#", fate.message)[:200]
            groups.setdefault(key, []).append(job_id)
    rows = [_cause(record, fates, ids, behind) for ids in groups.values()]
    rows.sort(
        key=lambda row: (row.cause == "cancelled", -row.jobs - row.behind, row.cause, row.task, row.message)
    )
    return tuple(rows[:MOST_CAUSES]), max(0, len(rows) - MOST_CAUSES)


def _cause(record: NightRecord, fates: JobFates, ids: list[str], behind: Counter[str]) -> RootCause:
    ids.sort(key=lambda job_id: (fates.of[job_id].at, job_id))
    first = fates.of[ids[0]]
    failed = (
        receipt for job_id in ids if job_id in record.attempts for receipt in record.attempts[job_id].failed
    )
    return RootCause(
        cause=first.cause,
        task=record.lines[ids[0]].task,
        message=first.message,
        jobs=len(ids),
        behind=sum(behind[job_id] for job_id in ids),
        seconds=added(receipt.seconds for receipt in failed if receipt.ended_at >= record.since),
        named=tuple(named(job_id, record.lines[job_id]) for job_id in ids[:MOST_NAMED]),
    )


def named(job_id: str, line: NightLine) -> NamedJob:
    return NamedJob(job_id=job_id, task=line.task, file=line.file)


def added(seconds: Iterable[float]) -> float:
    """The same sum in whatever order: milliseconds are added as whole numbers."""
    return sum(round(1000 * each) for each in seconds) / 1000
