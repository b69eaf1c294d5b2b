"""The way back from the operator's word on jobs, where there is one: what it does is said before it is done.

What was cancelled waits again, what was sent back is dead or cancelled again, priorities are what they were.
A requeue has none: the attempt that it took away is gone. Whoever acted keeps the value while he may want it;
it looks at each job again, and leaves those that somebody else has acted on meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from conductor.base.text import many
from conductor.model.causes import Cause
from conductor.model.job_filter import JobFilter
from conductor.model.ledger_entries import JobState
from conductor.ports import Ledger
from conductor.record.journal import Journal
from conductor.recovery.job_actions import ActedJob, JobVerb, act_on
from conductor.recovery.operator_commands import JobCommand

#: A fault that the job had of itself; what died with another one dies with it again.
_NO_FAULT: tuple[Cause | None, ...] = (None, "cancelled", "dependency_dead")
_ENDS = ("cancel", "drop", "fail")
#: Where what goes on again is found.
_GOES_ON: tuple[JobState, ...] = ("waiting", "admitted", "running")


class WayBack(NamedTuple):
    """`words`: what it will do, as a whole sentence."""

    words: str
    verb: JobVerb | JobCommand
    jobs: tuple[ActedJob, ...]
    #: Of a changed priority: job → the one that it had.
    priorities: Mapping[str, int]


def way_back(
    verb: JobVerb | JobCommand, acted: Sequence[ActedJob], priorities: Mapping[str, int] | None = None
) -> WayBack | None:
    """None: there is none. `priorities`: the own ones, from before."""
    known = priorities or {}
    if verb in _ENDS:
        jobs = tuple(job for job in acted if job.was != "dead")
        stay = len(acted) - len(jobs)
        stays = "stays" if stay == 1 else "stay"
        rest = f" {many(stay, 'job')} that had been dead before {stays} cancelled." if stay else ""
        words = f"{many(len(jobs), 'job')} will wait again.{rest}"
    elif verb == "retry":
        jobs = tuple(job for job in acted if job.was in ("cancelled", "dead"))
        words = (
            f"{many(len(jobs), 'job')} will be what they were, dead or cancelled; "
            "what began meanwhile is stopped."
        )
    elif verb == "priority":
        jobs = tuple(job for job in acted if job.job_id in known)
        words = f"{many(len(jobs), 'job')} will have the priority from before."
    else:
        return None
    return WayBack(words, verb, jobs, known) if jobs else None


def take_back(ledger: Ledger, journal: Journal, way: WayBack, who: str) -> tuple[int, WayBack | None]:
    """To how many it was done, and the way of those that cannot go it yet. `who`: for the journal. Raises
    `Unreachable`, `ConfigError`."""
    if way.verb in _ENDS:
        return _sent_back(ledger, journal, way, who)
    if way.verb == "priority":
        return _with_old_priorities(ledger, journal, way, who), None
    cancelled = [job.job_id for job in way.jobs if job.was == "cancelled"]
    wanted = JobFilter(states=_GOES_ON)
    taken = act_on(ledger, journal, "cancel", cancelled, wanted, who=who).taken if cancelled else 0
    return taken + _dead_again(ledger, journal, way.jobs, who), None


def _sent_back(ledger: Ledger, journal: Journal, way: WayBack, who: str) -> tuple[int, WayBack | None]:
    """One that comes after another goes back when that one has: so again, until none is left or none goes.
    What ran is not cancelled before its worker has heard of it."""
    over: JobState = "dead" if way.verb == "fail" else "cancelled"
    taken, wanted = 0, JobFilter(states=(over,))
    states = ledger.jobs.states([job.job_id for job in way.jobs])
    stopping = tuple(job for job in way.jobs if job.was == "running" == states.get(job.job_id))
    left = [job_id for job_id, state in states.items() if state == over]
    while left:
        done = act_on(ledger, journal, "retry", left, wanted, who=who).taken
        states = ledger.jobs.states(left)
        left = [job_id for job_id in left if states.get(job_id) == over]
        taken += done
        if not done:
            break
    return taken, way._replace(jobs=stopping) if stopping else None


def _with_old_priorities(ledger: Ledger, journal: Journal, way: WayBack, who: str) -> int:
    by_priority: defaultdict[int, list[str]] = defaultdict(list)
    for job in way.jobs:
        by_priority[way.priorities[job.job_id]].append(job.job_id)
    wanted = JobFilter(states=("waiting", "dead", "cancelled", "review"))
    return sum(
        act_on(ledger, journal, "priority", ids, wanted, who=who, priority=priority).taken
        for priority, ids in by_priority.items()
    )


def _dead_again(ledger: Ledger, journal: Journal, jobs: Sequence[ActedJob], who: str) -> int:
    words = f"dead as before: {who} took the retry back"
    gone: dict[str, int] = {}
    for job in jobs:
        if job.was != "dead" or job.cause in _NO_FAULT:
            continue
        view = ledger.jobs.job(job.job_id)
        cause: Cause = job.cause or "task_error"
        if view is not None and ledger.commands.fail(job.job_id, cause, words) in _GOES_ON:
            # A rebuilt ledger leaves it out as well; what it knows of that is «cancelled».
            journal.operator("cancelled", {job.job_id: view.attempts}, cause)
            gone[job.job_id] = view.attempts
    if gone:
        journal.acted("retry taken back", who, "", len(gone))
        ledger.bell.ring()
    return len(gone)
