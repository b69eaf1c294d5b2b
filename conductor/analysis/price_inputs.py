"""What `conductor price` plays: a manifest on a described cluster, or what waits live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.circumstances import Change, Circumstances
from conductor.analysis.forecast.live_world import (
    Known,
    LiveWorkload,
    MovedBudgets,
    not_counted,
    why_not,
    world_of,
)
from conductor.analysis.forecast.predict import MOST, Predictor
from conductor.analysis.one_more import Budgets, Nodes
from conductor.analysis.price import Price, Wish, price
from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.policies import DEFAULT, limits_of
from conductor.analysis.simulation.rule import rule_of
from conductor.analysis.simulation.run import known
from conductor.analysis.simulation.workload import Workload
from conductor.analysis.simulation.world import World
from conductor.analysis.what_if import ChangedEnds, what_if
from conductor.base.errors import NothingFound, UsageError
from conductor.base.settings.endpoint_settings import Rate
from conductor.base.settings.limits import live
from conductor.base.settings.settings import did_you_mean
from conductor.base.text import many
from conductor.core.admission.recalls import recalled
from conductor.model.limits import Limits
from conductor.model.pilot import PilotShape
from conductor.model.snapshot import JobClass, Snapshot
from conductor.model.spec import JobSpec, TaskDecl, resolve

NOTHING = "nothing waits: `conductor dispatch` a manifest, or price one (MANIFEST --cluster CLUSTER.toml)"


def of_manifest(
    manifest: Path,
    cluster_file: Path,
    catalogue: Mapping[str, TaskDecl],
    rates: Mapping[str, Rate],
    rule: Limits,
    wish: Wish,
    *,
    is_batch: bool = False,
) -> Price:
    """`rule`: the limits of the live conductor. Raises `ManifestError`, `ConfigError`."""
    specs, nodes = list(known(manifest, catalogue)), cluster.read(cluster_file)
    limits = limits_of(DEFAULT, live=rule)
    asked = {
        key
        for spec in specs
        for key in (spec.needs.rates if spec.needs else catalogue[spec.task].needs.rates)
    }

    def play(nodes: Nodes, budgets: Budgets) -> World:
        moved = MovedBudgets(budgets, 0.0) if budgets else None
        begin = Snapshot(now=0.0, nodes=nodes)
        played = live(limits, len(nodes))
        world = World(Workload(specs, catalogue, is_batch), nodes, played, begin=begin, budgets=moved)
        world.run()
        return world

    named = rule_of(DEFAULT, live(limits, len(nodes)))
    found = price(play, nodes, {key: rate for key, rate in rates.items() if key in asked}, wish, named)
    return msgspec.structs.replace(found, notes=(*found.notes, *of_durations(specs, catalogue)))


def of_durations(specs: Sequence[JobSpec], catalogue: Mapping[str, TaskDecl]) -> Iterator[str]:
    yield "a described host has a worker for every job: only what jobs need holds them back"
    unknown = Counter(s.task for s in specs if resolve(s, catalogue[s.task]).estimate.duration_s <= 0)
    if unknown:
        tasks = ", ".join(sorted(unknown))
        yield (
            f"{many(unknown.total(), 'job')} (of {tasks}) declare no estimate.duration_s and count as "
            "taking no time"
        )


class LiveWork(NamedTuple):
    """What waits and goes, and what the past teaches of it."""

    snapshot: Snapshot
    past: Known
    pending: list[Pending]
    #: Of these jobs, as they are.
    classes: list[JobClass]
    #: Tasks of which nobody knows how long they take.
    unknown: tuple[str, ...]


def live_work(predictor: Predictor, is_some_enough: bool = False) -> LiveWork:
    """`is_some_enough`: where something is known of how long some of it takes, and some of it is not paused.
    Raises `UsageError` where
    more waits than can be played, or a backlog is not known; `NothingFound` where nothing waits, or nobody
    can say what it takes; `Unreachable`."""
    for name in predictor.unknown_backlogs():
        check_backlog(predictor, name)
    snapshot, _ = predictor.observed()
    past, pending = predictor.known(snapshot), predictor.pending()
    if pending is None:
        raise UsageError(
            f"more than {MOST} jobs wait: price one backlog (--backlog), or a part of the manifest"
        )
    if not pending:
        raise NothingFound(NOTHING)
    first = LiveWorkload(pending, snapshot, past)
    classes = [job.job_class for job in first.jobs]
    is_enough = is_some_enough and first.unknown < {c.task for c in classes}
    # What a pause keeps back has no end; what is beside it has one.
    paused = snapshot.controls.paused_backlogs if is_some_enough else ()
    counted = [c for c in classes if c.backlog not in paused] or classes
    if why := why_not(snapshot, counted, () if is_enough else first.unknown):
        remedy = (
            ""
            if snapshot.nodes
            else ": `conductor up`, or price a manifest (MANIFEST --cluster CLUSTER.toml)"
        )
        remedy = "; a few of them have to run first" if first.unknown and snapshot.nodes else remedy
        raise NothingFound(f"nobody can say how long it takes: {why}{remedy}")
    return LiveWork(snapshot, past, pending, classes, tuple(sorted(first.unknown)))


def of_ledger(predictor: Predictor, rates: Mapping[str, Rate], wish: Wish) -> Price:
    """Raises as `live_work`."""
    work = live_work(predictor)
    snapshot, past = work.snapshot, work.past

    def play(nodes: Nodes, budgets: Budgets) -> World:
        return played(work, work.pending, nodes, predictor.limits, budgets)

    asked = {key for c in work.classes for key in c.needs.rates}
    left_out = not_counted(snapshot, work.classes, past.canary)
    rule = rule_of(DEFAULT, live(predictor.limits, len(snapshot.nodes)), left_out)
    found = price(
        play, snapshot.nodes, {key: rate for key, rate in rates.items() if key in asked}, wish, rule
    )
    return msgspec.structs.replace(found, recorded_lost_s=predictor.recorded_lost_s())


def what_if_of_ledger(
    predictor: Predictor, rates: Mapping[str, Rate], shapes: Mapping[str, PilotShape], change: Change
) -> ChangedEnds:
    """`shapes`: engine with pilots → what one of them brings. Raises as `of_ledger`."""
    work = live_work(predictor, is_some_enough=True)
    snapshot = work.snapshot
    paused = frozenset(snapshot.controls.paused_backlogs)
    for name in sorted(change.paused):
        check_backlog(predictor, name)
        if name in paused:
            raise UsageError(f"backlog:{name} is paused already")
    asked = {key for c in work.classes for key in c.needs.rates}
    now = Circumstances(
        pending=tuple(work.pending),
        nodes=snapshot.nodes,
        limits=predictor.limits,
        budgets={key: rate for key, rate in rates.items() if key in asked},
        paused=paused,
    )

    def play(then: Circumstances) -> World:
        controls = msgspec.structs.replace(snapshot.controls, paused_backlogs=tuple(sorted(then.paused)))
        begin = msgspec.structs.replace(snapshot, controls=controls)
        # What was handed over and nobody has begun goes back, as the leader does it.
        back = {r.job_id for rows in recalled(begin).values() for r in rows}
        held = tuple(r for r in snapshot.reservations if r.job_id not in back)
        paused = work._replace(snapshot=msgspec.structs.replace(begin, reservations=held))
        return played(paused, then.pending, then.nodes, then.limits, then.budgets)

    found = what_if(play, now, change, shapes)
    held = not_counted(snapshot, work.classes, work.past.canary)
    untimed = (f"{task}, of which nobody knows how long it takes" for task in work.unknown)
    return msgspec.structs.replace(found, notes=(*found.notes, *held, *untimed))


def check_backlog(predictor: Predictor, name: str) -> None:
    """Raises `UsageError` where no job was ever in a backlog of that name."""
    backlogs = predictor.ledger.tallies.backlogs()
    if name not in backlogs:
        known_ones = ", ".join(backlogs) or "none yet"
        raise UsageError(f"there is no backlog {name}: there are {known_ones}{did_you_mean(name, backlogs)}")


def played(
    work: LiveWork, pending: Sequence[Pending], nodes: Nodes, limits: Limits, budgets: Budgets
) -> World:
    changed = msgspec.structs.replace(work.snapshot, nodes=nodes)
    world = world_of(LiveWorkload(pending, changed, work.past), changed, live(limits, len(nodes)), budgets)
    world.run()
    return world
