"""What would come of a change before anybody makes it: what waits is played through as it is, and once more
with other priorities, more of what there is, a backlog paused, or without the hours of the day. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from conductor.analysis.circumstances import Change, Circumstances, changed, held_back
from conductor.analysis.simulation.workload import SimulatedJob
from conductor.analysis.simulation.world import World
from conductor.base.errors import UsageError
from conductor.base.hours import about
from conductor.base.text import duration, many
from conductor.model.pilot import PilotShape
from conductor.model.spec import Value

#: Two ends so near each other are the same to a person.
SAME_S = 1.0


#: Plays these jobs in these circumstances to their end.
Play = Callable[[Circumstances], World]


class MovedEnd(Value, frozen=True, kw_only=True):
    """When a part of the jobs is through as it is, and then (epoch seconds by the ledger's clock; None: none
    of them ever is). `never`: those of them that cannot run."""

    jobs: int
    ends_at: float | None
    then_ends_at: float | None
    never: int
    then_never: int

    @property
    def sooner_s(self) -> float | None:
        """Negative: later."""
        if self.ends_at is None or self.then_ends_at is None:
            return None
        return self.ends_at - self.then_ends_at


class ChangedEnds(Value, frozen=True, kw_only=True):
    """`words`: one sentence; `all`: of all jobs that no pause holds back; `meant`: of the jobs whose priority
    it is about."""

    now: float
    words: str
    all: MovedEnd
    meant: MovedEnd | None
    #: Backlog → its own end; without those that are paused, or would be.
    backlogs: dict[str, MovedEnd]
    #: What may make it later and is not counted.
    notes: tuple[str, ...] = ()


def what_if(
    play: Play, now: Circumstances, change: Change, shapes: Mapping[str, PilotShape] | None = None
) -> ChangedEnds:
    """`shapes`: engine with pilots → what one of them brings. Raises `UsageError` where the change is none
    here.
    """
    then, more = changed(now, change, shapes or {})
    as_it_is, as_then = play(now), play(then)
    held = held_back(as_then.jobs, then.paused)
    ends = {job.id: job for job in as_then.jobs}
    jobs = [job for job in as_it_is.jobs if job.id not in held]
    if not jobs:
        raise UsageError("nothing else waits or runs: there is no end to work out")
    meant = None
    if change.priority is not None:
        chosen = [job for job in jobs if job.id in change.meant]
        if not chosen:
            raise UsageError("none of these jobs waits or runs: nothing would change")
        meant = moved(chosen, ends)
    found = moved(jobs, ends)
    by_backlog: dict[str, list[SimulatedJob]] = {}
    for job in jobs:
        by_backlog.setdefault(job.job_class.backlog, []).append(job)
    return ChangedEnds(
        now=as_it_is.began_at,
        words=sentence(change, more, found, meant, as_it_is.began_at),
        all=found,
        meant=meant,
        backlogs={name: moved(jobs, ends) for name, jobs in sorted(by_backlog.items())},
        notes=notes_of(then, held, change),
    )


def notes_of(then: Circumstances, held: Collection[str], change: Change) -> tuple[str, ...]:
    paused = ", ".join(f"backlog:{name}" for name in sorted(then.paused))
    waiting = f"{many(len(held), 'job')} held back until somebody resumes {paused}"
    pilots = ("how long a pilot waits for its engine",) if change.pilots else ()
    return (*((waiting,) if held else ()), *pilots)


def moved(jobs: Sequence[SimulatedJob], then: dict[str, SimulatedJob]) -> MovedEnd:
    ends = [job.end_s for job in jobs if job.end_s is not None]
    then_ends = [end for job in jobs if (end := then[job.id].end_s) is not None]
    return MovedEnd(
        jobs=len(jobs),
        ends_at=max(ends, default=None),
        then_ends_at=max(then_ends, default=None),
        never=len(jobs) - len(ends),
        then_never=len(jobs) - len(then_ends),
    )


# ── in words ──────────────────────────────────────────────────────────────────────────────────────────────


def sentence(change: Change, more: Sequence[str], found: MovedEnd, meant: MovedEnd | None, now: float) -> str:
    """«With 1 more GPU of 24 GiB in studio1: all of it is done about 02:10 instead of about 04:10, 2 h
    sooner.»"""
    parts = [
        *([f"priority {change.priority} for {many(meant.jobs, 'job')}"] if meant is not None else []),
        *more,
        *(f"backlog:{name} paused" for name in sorted(change.paused)),
        *(["no hours of the day"] if change.is_always_open else []),
    ]
    ends = [_end("the rest is" if change.paused else "all of it is", found, now)]
    if meant is not None:
        ends.insert(0, _end("that is" if meant.jobs == 1 else "these are", meant, now))
    return f"With {' and '.join(parts)}: {'; '.join(ends)}."


def _end(what: str, found: MovedEnd, now: float) -> str:
    when, sooner = about(now), found.sooner_s
    runs = found.never - found.then_never
    also = f", and {many(runs, 'job')} more can run" if runs > 0 else ""
    if found.then_ends_at is None:
        return f"{what} never done"
    if sooner is None:
        return f"{what} done {when(found.then_ends_at)}{also}"
    if abs(sooner) < SAME_S:
        return f"{what} done {when(found.then_ends_at)}, as without it{also}"
    assert found.ends_at is not None, "there is a difference"
    way = "sooner" if sooner > 0 else "later"
    instead = f" instead of {when(found.ends_at)}"
    return f"{what} done {when(found.then_ends_at)}{instead}, {duration(abs(sooner))} {way}{also}"


def lines(found: ChangedEnds) -> list[str]:
    each = found.backlogs.items() if len(found.backlogs) > 1 else ()
    parts = [f"  backlog:{name}: {_end('it is', end, found.now)}" for name, end in each]
    return [found.words, *parts, *(f"note: not counted: {note}" for note in found.notes)]
