"""A change that somebody thinks of, and the circumstances as they would be with it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.one_more import (
    Budgets,
    Nodes,
    more_gpus,
    more_hosts,
    more_pilots,
    more_quota,
    more_scratch,
)
from conductor.analysis.simulation.workload import SimulatedJob
from conductor.base.errors import UsageError
from conductor.model.limits import Limits
from conductor.model.pilot import PilotShape
from conductor.model.spec import Value, from_line


class Circumstances(Value, frozen=True, kw_only=True):
    """What a play goes by. `paused`: backlogs of which nothing starts."""

    pending: tuple[Pending, ...]
    nodes: Nodes
    limits: Limits
    budgets: Budgets = {}
    paused: frozenset[str] = frozenset()


class Change(Value, frozen=True, kw_only=True):
    """`meant`: ids of the jobs that would get the priority; `gpus`, `hosts`, `pilots` (of each engine that
    has them): so many more of the largest there is; `scratch_bytes`: so much more on each host; `quota`: so
    many times that of each API; `paused`: backlogs that would be.
    """

    meant: frozenset[str] = frozenset()
    priority: int | None = None
    gpus: int = 0
    hosts: int = 0
    pilots: int = 0
    scratch_bytes: int = 0
    quota: float = 1.0
    paused: frozenset[str] = frozenset()
    is_always_open: bool = False


def changed(
    now: Circumstances, change: Change, shapes: Mapping[str, PilotShape]
) -> tuple[Circumstances, list[str]]:
    """As they would be, and the words for it. Raises `UsageError` where something cannot be had here."""
    nodes, budgets, words = now.nodes, now.budgets, list[str]()

    def take(more: tuple[str, Nodes] | None, why_not: str) -> Nodes:
        if more is None:
            raise UsageError(why_not)
        words.append(more[0])
        return more[1]

    if change.gpus:
        why_not = "no GPU is there, so nothing tells what jobs would take on one more"
        nodes = take(more_gpus(nodes, change.gpus), why_not)
    if change.scratch_bytes:
        nodes = take(more_scratch(nodes, change.scratch_bytes), "no host reports, so none has scratch")
    if change.hosts:
        nodes = take(more_hosts(nodes, change.hosts), "no host reports, so nothing tells what one more is")
    if change.pilots and not shapes:
        raise UsageError("no engine brings pilots: [engines.NAME] in conductor.toml (docs/engines.md)")
    for engine, shape in shapes.items() if change.pilots else ():
        nodes = take(more_pilots(nodes, engine, shape, change.pilots), "no host reports that a pilot is like")
    if change.quota != 1.0:
        if (more := more_quota(budgets, change.quota)) is None:
            raise UsageError("no API has a quota: [rates.NAME] in conductor.toml (docs/rates.md)")
        words.append(more[0])
        budgets = more[1]
    then = Circumstances(
        pending=tuple(changed_priorities(now.pending, change)),
        nodes=nodes,
        limits=replace(now.limits, hours={}) if change.is_always_open else now.limits,
        budgets=budgets,
        paused=now.paused | change.paused,
    )
    return then, words


def held_back(played: Sequence[SimulatedJob], paused: Collection[str]) -> frozenset[str]:
    """The jobs that a pause kept from starting, and all that come after one of them."""
    todo = [job for job in played if job.job_class.backlog in paused and job.start_s is None]
    held = {job.id for job in todo}
    while todo:
        more = [kid for kid in todo.pop().kids if kid.id not in held]
        held.update(kid.id for kid in more)
        todo += more
    return frozenset(held)


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
