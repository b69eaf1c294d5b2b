"""What a job in the end waits for: behind the jobs it comes after, those that wait for nobody themselves,
and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from conductor.base.hours import about
from conductor.base.text import duration, many
from conductor.core.admission.explain import jobs_named, sentence
from conductor.model.decision import Hold
from conductor.model.ledger_entries import JobView
from conductor.model.spec import Value
from conductor.model.subject import subject_of_line, with_subjects
from conductor.ports import Ledger
from conductor.views.frozen_jobs import frozen_words

#: So many jobs are looked at, and so many roots kept and told of: a long chain has few, a wide one too many
#: to read.
MOST_LOOKED_AT, MOST_KEPT, SHOWN = 500, 20, 3


class DeepestJob(Value, frozen=True, kw_only=True):
    """`why`: what it is doing or waiting for, in words; `depth`: so many jobs lie between, itself counted."""

    job_id: str
    state: str
    depth: int
    why: str
    #: What it is about; empty: nobody knows it.
    subject: str = ""
    #: Jobs that `why` names.
    names: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        return f"{self.subject} ({self.job_id})" if self.subject else self.job_id


def roots_of(ledger: Ledger, job: JobView, now: float) -> tuple[DeepestJob, ...]:
    """The deepest first; empty for a job that waits for nobody, or for such as wait for nobody themselves."""
    holds = {hold.class_id: hold for hold in ledger.gate_record.gates().holds} if job.waits_for else {}
    found = [_root(other, view, depth, holds, now) for other, view, depth in _leaves(ledger, job)]
    kept = sorted(found, key=lambda root: (-root.depth, root.job_id))[:MOST_KEPT]
    lines = ledger.jobs.lines([i for root in kept for i in root.names]) if kept else {}
    subjects = {job_id: subject_of_line(line, "") for job_id, line in lines.items()}
    return tuple(replace(root, why=with_subjects(root.why, subjects)) for root in kept)


def _leaves(ledger: Ledger, job: JobView) -> Iterator[tuple[str, JobView | None, int]]:
    seen, front = {job.job_id}, [(other, 1) for other in job.waits_for]
    while front and len(seen) < MOST_LOOKED_AT:
        job_id, depth = front.pop()
        if job_id in seen:
            continue
        seen.add(job_id)
        view = ledger.jobs.job(job_id)
        if view is not None and view.state == "waiting" and view.waits_for:
            front += [(other, depth + 1) for other in view.waits_for]
        else:
            yield job_id, view, depth


def _root(job_id: str, view: JobView | None, depth: int, holds: Mapping[str, Hold], now: float) -> DeepestJob:
    state = "unknown" if view is None else view.state
    return DeepestJob(
        job_id=job_id,
        state=state,
        depth=depth,
        why="" if view is None else _why(view, holds, now),
        subject="" if view is None else subject_of_line(view.line, ""),
        names=() if view is None or (hold := holds.get(view.class_id)) is None else jobs_named(hold),
    )


def _why(view: JobView, holds: Mapping[str, Hold], now: float) -> str:
    if (r := view.reservation) is not None:
        place, since = "/".join((r.node, *r.devices)), r.started_at or r.admitted_at
        still = frozen_words(r, now)
        return f"on {place}, {still}" if still else f"on {place} for {duration(now - since)}"
    if view.state != "waiting":
        return f"{view.cause}: {view.message}" if view.cause else ""
    if view.not_before is not None and view.not_before > now:
        return f"tried again in {duration(view.not_before - now)}"
    hold = holds.get(view.class_id)
    if hold is None:
        return "no gate holds it"
    behind = f"{many(view.ahead, 'job')} with the same needs before it; " if view.ahead else ""
    _, _, why = sentence(hold, now, 0.0, about(now)).partition(": ")
    return behind + why


def lines(roots: tuple[DeepestJob, ...]) -> list[str]:
    """«in the end for abc (3 jobs deep): running: on studio1/gpu0 for 40 s»."""
    out = [
        f"in the end for {root.called} ({many(root.depth, 'job')} deep): {root.state}"
        + (root.why and f": {root.why}")
        for root in roots[:SHOWN]
    ]
    return out + (["and for others beside"] if len(roots) > SHOWN else [])
