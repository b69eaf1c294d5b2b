"""What would come of a change before anybody makes it: what waits is played through as it is, and once more
with other priorities, more GPUs, or without the hours of the day. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.price import Nodes, gpu_host, replaced, with_gpus
from conductor.analysis.simulation.workload import SimulatedJob
from conductor.analysis.simulation.world import World
from conductor.base.errors import UsageError
from conductor.base.hours import about
from conductor.base.text import duration, many
from conductor.model.limits import Limits
from conductor.model.spec import Value, from_line

#: Two ends so near each other are the same to a person.
SAME_S = 1.0
#: Plays these jobs on these nodes by these limits to their end.
Play = Callable[[Sequence[Pending], Nodes, Limits], World]


class Change(Value, frozen=True, kw_only=True):
    """`meant`: ids of the jobs that would get the priority; `gpus`: so many more of the largest there is."""

    meant: frozenset[str] = frozenset()
    priority: int | None = None
    gpus: int = 0
    is_always_open: bool = False


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
    """`words`: one sentence; `meant`: of the jobs whose priority it is about."""

    now: float
    words: str
    all: MovedEnd
    meant: MovedEnd | None
    #: Backlog → its own end.
    backlogs: dict[str, MovedEnd]
    #: What may make it later and is not counted.
    notes: tuple[str, ...] = ()


def what_if(
    play: Play, pending: Sequence[Pending], nodes: Nodes, limits: Limits, change: Change
) -> ChangedEnds:
    """Raises `UsageError` where the change is none here."""
    then_nodes, more = changed_nodes(nodes, change)
    then_limits = replace(limits, hours={}) if change.is_always_open else limits
    then_pending = changed_priorities(pending, change)
    now = play(pending, nodes, limits)
    then = play(then_pending, then_nodes, then_limits)
    ends = {job.id: job for job in then.jobs}
    meant = None
    if change.priority is not None:
        chosen = [job for job in now.jobs if job.id in change.meant]
        if not chosen:
            raise UsageError("none of these jobs waits or runs: nothing would change")
        meant = moved(chosen, ends)
    found = moved(now.jobs, ends)
    by_backlog: dict[str, list[SimulatedJob]] = {}
    for job in now.jobs:
        by_backlog.setdefault(job.job_class.backlog, []).append(job)
    return ChangedEnds(
        now=now.began_at,
        words=sentence(change, more, found, meant, now.began_at),
        all=found,
        meant=meant,
        backlogs={name: moved(jobs, ends) for name, jobs in sorted(by_backlog.items())},
    )


def changed_nodes(nodes: Nodes, change: Change) -> tuple[Nodes, str]:
    """The hosts as they would be, and the words for it."""
    if not change.gpus:
        return nodes, ""
    host = gpu_host(nodes)
    if host is None:
        raise UsageError("no GPU is there, so nothing tells what jobs would take on one more")
    largest = max(device.vram_total_mib for device in host.devices)
    words = f"{many(change.gpus, 'more GPU')} of {largest / 1024:.0f} GiB in {host.node}"
    return replaced(nodes, with_gpus(host, change.gpus, largest)), words


def changed_priorities(pending: Sequence[Pending], change: Change) -> list[Pending]:
    """As `conductor priority` does it: what they wait for goes at least as they do."""
    priority = change.priority
    if priority is None:
        return list(pending)
    by_id = {row.job_id: row for row in pending}
    raised = set(before(by_id, change.meant)) - change.meant

    def then(row: Pending) -> Pending:
        is_raised = row.job_id in raised and row.job_class.priority < priority
        if not (row.job_id in change.meant or is_raised):
            return row
        return replace(
            row, job_class=replace(row.job_class, id=f"{row.job_class.id}~{priority}", priority=priority)
        )

    return [then(row) for row in pending]


def before(by_id: dict[str, Pending], ids: Collection[str]) -> Iterable[str]:
    """All that these come after, and what comes before those."""
    seen, todo = set(ids), list(ids)
    while todo:
        row = by_id.get(todo.pop())
        if row is None:
            continue
        spec = from_line(row.line)
        for other in (*spec.after, *spec.after_ended):
            if other not in seen:
                seen.add(other)
                todo.append(other)
                yield other


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


def sentence(change: Change, more: str, found: MovedEnd, meant: MovedEnd | None, now: float) -> str:
    """«With 1 more GPU of 24 GiB in studio1: all of it is done about 02:10 instead of about 04:10, 2 h
    sooner.»"""
    parts = [
        *([f"priority {change.priority} for {many(meant.jobs, 'job')}"] if meant is not None else []),
        *([more] if more else []),
        *(["no hours of the day"] if change.is_always_open else []),
    ]
    ends = [_end("all of it is", found, now)]
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
