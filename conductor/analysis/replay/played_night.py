"""A recorded night played once more by the live decision: the same jobs, as long as they really took, on the
same hosts, and then with one thing more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from conductor.analysis.forecast.live_world import MovedBudgets, largest_disk
from conductor.analysis.one_more import Budgets, Nodes
from conductor.analysis.price import Price, Wish, price
from conductor.analysis.replay.recording_frames import Point
from conductor.analysis.simulation.cluster import SCRATCH
from conductor.analysis.simulation.policies import DEFAULT
from conductor.analysis.simulation.rule import rule_of
from conductor.analysis.simulation.workload import SimulatedJob, chains_of
from conductor.analysis.simulation.world import World
from conductor.base.settings.endpoint_settings import Rate
from conductor.base.text import many
from conductor.core.chains.feasible_order import can_finish
from conductor.model.chains import Chain
from conductor.model.limits import Limits
from conductor.model.report import Measure, NodeReport
from conductor.model.snapshot import Head, JobClass, Reservation, Snapshot
from conductor.model.spec import JobSpec

#: More jobs are not played: a person waits for the report.
MOST_PLAYED = 3_000
#: What every play leaves out, in the words of its rule.
LEFT_OUT = (
    "what others used of devices and disks",
    "pauses and breakers",
    "hosts that came and went",
)


class NightWork(Struct):
    """What a recording tells of who was admitted where. `since`: when a job was dispatched."""

    classes: dict[str, JobClass] = {}
    class_of: dict[str, str] = {}
    since: dict[str, float] = {}
    nodes: dict[str, NodeReport] = {}
    begun_at: float = 0.0
    limits: Limits | None = None


def work_of(points: Iterable[Point]) -> NightWork:
    work = NightWork(classes={}, class_of={}, since={}, nodes={})
    seen: tuple[object, object, object] = (None, None, None)
    heads_seen: set[int] = set()
    last: Point | None = None
    for point in points:
        work.begun_at = work.begun_at or point.now
        if last is not None and last.reader is not point.reader:
            heads_seen.clear()  # Another file numbers its parts anew.
            seen = (None, None, None)
        if point.candidates is not seen[0]:
            _take_candidates(work, point, heads_seen)
        if point.reservations is not seen[1]:
            for number in point.reservations:
                held: Reservation = point.value(number, Reservation)
                work.class_of.setdefault(held.job_id, held.class_id)
        if point.nodes is not seen[2]:
            for number in point.nodes:
                node: NodeReport = point.value(number, NodeReport)
                work.nodes[node.node] = node
        seen = (point.candidates, point.reservations, point.nodes)
        last = point
    if last is not None:
        work.limits = last.tick().limits
    return work


def _take_candidates(work: NightWork, point: Point, heads_seen: set[int]) -> None:
    for kind, _, heads in point.candidates:
        job_class: JobClass = point.value(kind, JobClass)
        work.classes.setdefault(job_class.id, job_class)
        if heads in heads_seen:
            continue
        heads_seen.add(heads)
        for head in point.value(heads, tuple[Head, ...]):
            work.since.setdefault(head.job_id, head.since)


class PlayedNight:
    """Jobs as `World` wants them: made anew for each play."""

    def __init__(self, work: NightWork, took: Mapping[str, float], specs: Mapping[str, JobSpec]) -> None:
        ids = [job_id for job_id in took if work.class_of.get(job_id) in work.classes]
        ids.sort(key=lambda job_id: (work.since.get(job_id, 0.0), job_id))
        self.jobs = [self._job(work, seq, job_id, took[job_id]) for seq, job_id in enumerate(ids)]
        self.chains: list[Chain] = []
        by_id = {job.id: job for job in self.jobs}
        for job in self.jobs:
            spec = specs.get(job.id)
            if spec is None:
                continue
            for other in dict.fromkeys((*spec.after, *spec.after_ended)):
                if (before := by_id.get(other)) is not None:
                    before.goes_before(job)
            job.reads = tuple(path for path in dict.fromkeys(spec.reads) if path.startswith(f"{SCRATCH}:"))
            job.writes = {o.path: o.bytes for o in spec.writes if o.path.startswith(f"{SCRATCH}:")}
        if work.limits is not None and work.limits.is_safe:
            declared_s = {job_id: work.classes[work.class_of[job_id]].duration_s for job_id in ids}
            self.chains = chains_of(self.jobs, declared_s)

    def _job(self, work: NightWork, seq: int, job_id: str, took_s: float) -> SimulatedJob:
        arrival = max(work.begun_at, work.since.get(job_id, work.begun_at))
        job_class = work.classes[work.class_of[job_id]]
        return SimulatedJob(job_id, seq, arrival, took_s, replace(job_class, duration_s=took_s))


def price_of_night(
    work: NightWork,
    took: Mapping[str, float],
    specs: Mapping[str, JobSpec],
    rates: Mapping[str, Rate],
    wish: Wish,
) -> Price | str:
    """`took`: job → seconds of all its attempts. A sentence where there is nothing to play."""
    first = PlayedNight(work, took, specs)
    limits = work.limits
    if not first.jobs or limits is None:
        return "None of the jobs that were done was seen in a recorded tick: there is nothing to play."
    if len(first.jobs) > MOST_PLAYED:
        return (
            f"{many(len(first.jobs), 'job')} are more than are played for a report ({MOST_PLAYED}): "
            "`conductor price MANIFEST --cluster CLUSTER.toml` plays them."
        )
    nodes = tuple(_emptied(node) for _, node in sorted(work.nodes.items()))
    unbounded = replace(limits, report_ttl_s=math.inf)

    def play(nodes: Nodes, budgets: Budgets) -> World:
        load = PlayedNight(work, took, specs)
        begin = Snapshot(now=work.begun_at, nodes=nodes)
        load.chains = [chain for chain in load.chains if can_finish(chain, largest_disk(begin))]
        moved = MovedBudgets(budgets, work.begun_at) if budgets else None
        world = World(load, nodes, unbounded, begin=begin, budgets=moved)
        world.run()
        return world

    asked = {key for job in first.jobs for key in job.job_class.needs.rates}
    budgets = {key: rate for key, rate in rates.items() if key in asked}
    found = price(play, nodes, budgets, wish, rule_of(DEFAULT, limits, LEFT_OUT))
    unseen = len(took) - len(first.jobs)
    if unseen:
        words = f"{many(unseen, 'job')} that no recorded tick saw are not played"
        found = msgspec.structs.replace(found, notes=(*found.notes, words))
    return found


def _emptied(node: NodeReport) -> NodeReport:
    """With nothing on it: what was there then was mostly ours."""
    measured = {name: Measure(total=one.total, free=one.total) for name, one in node.measured.items()}
    return replace(
        node,
        devices=tuple(
            replace(device, vram_used_mib=0, ours=None, quarantined=None) for device in node.devices
        ),
        volumes=tuple(
            replace(volume, free_bytes=volume.total_bytes, removable_bytes=0, opens_at_bytes=None, fault=None)
            for volume in node.volumes
        ),
        measured=measured,
        obstacles=(),
        is_draining=False,
    )
