"""Jobs of a manifest that can never be done as things stand: dead, cancelled, or behind one that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path

from conductor.base.text import many
from conductor.model.ledger_entries import JobState, JobView
from conductor.model.spec import Value
from conductor.ports import Ledger
from conductor.record.manifest import ManifestSummary, read

OVER: tuple[JobState, ...] = ("dead", "cancelled")
#: Of so many the root is looked for; the count itself is exact.
LOOKED_AT = 1000
#: So many are named.
NAMED = 3


class DeadRoot(Value, frozen=True, kw_only=True):
    """A job that is dead or cancelled, and keeps jobs of a manifest from being done: itself, and those
    behind it.
    """

    job_id: str
    cause: str
    message: str
    jobs: int


class DeadEnds(Value, frozen=True, kw_only=True):
    jobs: int = 0
    roots: tuple[DeadRoot, ...] = ()

    def sentence(self) -> str | None:
        """What keeps them, and what to do about it."""
        if not self.jobs:
            return None
        named = [f"{r.job_id[:8]} ({r.cause}: {r.message[:120]})" for r in self.roots[:NAMED]]
        more = [f"{len(self.roots) - NAMED} more"] if len(self.roots) > NAMED else []
        is_one = self.jobs == 1
        return (
            f"{many(self.jobs, 'job')} of it {'is' if is_one else 'are'} dead or cancelled, or behind one "
            "that is, and "
            f"will not run: {', '.join([*named, *more])}; put it right, then: conductor retry "
            f"{' or '.join(r.job_id[:8] for r in self.roots[:NAMED]) or 'JOB'}"
        )


def dead_ends(
    ledger: Ledger, summary: ManifestSummary, risen: Collection[str] = (), *, is_trial: bool = False
) -> DeadEnds:
    """`is_trial`: nothing was put. Then jobs that the ledger does not know count as if they were, and those
    that would be `risen` as if they waited again, with all behind them."""
    all_over = {job_id for state in OVER for job_id in ledger.jobs.ids(state)}
    if not all_over:
        return DeadEnds()
    own = (job_id for job_id in summary.ids if job_id in all_over)
    over = {*own, *(job_id for job_id in summary.outside if job_id in all_over)}
    behind = _unknown_behind(ledger, summary.path, over) if is_trial and over else {}
    mine = [job_id for job_id in summary.ids if job_id in over or job_id in behind]
    root_of = {job_id: _root(ledger, job_id, behind) for job_id in islice(mine, LOOKED_AT)}
    spared = sum(root in risen for root in root_of.values()) if is_trial else 0
    roots = Counter(root for root in root_of.values() if not (is_trial and root in risen))
    named = tuple(_described(ledger, *pair) for pair in roots.most_common())
    return DeadEnds(jobs=len(mine) - spared, roots=named)


def _unknown_behind(ledger: Ledger, manifest: Path, over: set[str]) -> dict[str, str]:
    """Job that comes after one of these, through however many → whom it comes after; of those not put yet."""
    waiters: dict[str, list[str]] = {}
    for spec in read(manifest):
        for other in spec.after:
            waiters.setdefault(other, []).append(spec.id)
    found: dict[str, str] = {}
    deaths = sorted(over)
    while deaths:
        dead = deaths.pop()
        behind = [job_id for job_id in waiters.get(dead, ()) if job_id not in found]
        for job_id in sorted(set(behind) - ledger.jobs.states(behind).keys()):
            found[job_id] = dead
            deaths.append(job_id)
    return found


def keeper_of(ledger: Ledger, job: JobView) -> JobView | None:
    """Behind a job that cannot be sent back by itself: the one that is to be sent back first. None: nobody
    keeps it.
    """
    first = next((other for other in job.waits_for if _is_set_aside(ledger, other)), None)
    return None if first is None else ledger.jobs.job(root_of(ledger, first))


def _is_set_aside(ledger: Ledger, job_id: str) -> bool:
    view = ledger.jobs.job(job_id)
    return view is not None and view.state in (*OVER, "review")


def _root(ledger: Ledger, job_id: str, behind: Mapping[str, str]) -> str:
    while job_id in behind:
        job_id = behind[job_id]
    return root_of(ledger, job_id)


def root_of(ledger: Ledger, job_id: str) -> str:
    """From one that died for the sake of another to that one, as far as the ledger knows."""
    seen: set[str] = set()
    while job_id not in seen:
        seen.add(job_id)
        view = ledger.jobs.job(job_id)
        if view is None or view.cause != "dependency_dead":
            return job_id
        before = (ledger.jobs.job(other) for other in view.waits_for)
        job_id = next((other.job_id for other in before if other is not None and other.state in OVER), job_id)
    return job_id


def _described(ledger: Ledger, job_id: str, jobs: int) -> DeadRoot:
    view = ledger.jobs.job(job_id)
    cause, message = (view.cause or view.state, view.message) if view is not None else ("unknown", "")
    return DeadRoot(job_id=job_id, cause=cause, message=message, jobs=jobs)
