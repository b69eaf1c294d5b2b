"""What a simulated run comes to: the answer of `conductor simulate`, and the bound it is measured against."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from conductor.analysis.simulation.rule import Rule, rule_of
from conductor.analysis.simulation.workload import SimulatedJob, tails
from conductor.analysis.simulation.world import World
from conductor.model.report import NodeReport


class Figures(Struct, frozen=True, kw_only=True):
    """Seconds, bytes and counts over the jobs that ran. `deadlocked`: jobs that could run and never did."""

    jobs: int
    done: int
    infeasible: int
    deadlocked: int
    oom: int
    makespan_s: float
    bound_s: float
    mean_wait_s: float
    p50_wait_s: float
    p99_wait_s: float
    max_wait_s: float
    mean_jct_s: float
    peak_scratch_bytes: int
    vram_utilisation: float
    held_s_by_gate: dict[str, float]
    wall_s: float
    rule: Rule


class JobLine(Struct, frozen=True, kw_only=True):
    """One job of `--jobs`. None: it did not run."""

    id: str
    start_s: float | None
    end_s: float | None
    node: str | None
    device: str | None


def figures(world: World, wall_s: float, policy: str) -> Figures:
    ran = [job for job in world.jobs if job.start_s is not None and job.end_s is not None]
    waits = sorted((job.start_s or 0.0) - job.ready_s for job in ran)
    makespan = max((job.end_s or 0.0 for job in ran), default=0.0)
    return Figures(
        jobs=len(world.jobs),
        done=world.done,
        infeasible=len(world.never.jobs),
        deadlocked=world.stuck,
        oom=world.hosts.overruns,
        makespan_s=round(makespan, 6),
        bound_s=round(bound_s(ran, world.nodes), 6),
        mean_wait_s=mean(waits),
        p50_wait_s=percentile(waits, 50),
        p99_wait_s=percentile(waits, 99),
        max_wait_s=percentile(waits, 100),
        mean_jct_s=mean([(job.end_s or 0.0) - job.arrival_s for job in ran]),
        peak_scratch_bytes=round(world.hosts.peak_disk),
        vram_utilisation=_utilisation(ran, world.nodes, makespan),
        held_s_by_gate={gate: round(seconds, 3) for gate, seconds in sorted(world.held_s.items())},
        wall_s=round(wall_s, 3),
        rule=rule_of(policy, world.limits),
    )


def mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), 6) if values else 0.0


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest rank of values that are sorted."""
    return round(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)], 6) if ordered else 0.0


def _vram(job: SimulatedJob) -> int:
    needs = job.job_class.needs
    return needs.vram_mib * needs.devices if needs.vram_mib else 0


def _utilisation(ran: Sequence[SimulatedJob], nodes: Sequence[NodeReport], makespan: float) -> float:
    whole = sum(device.vram_total_mib for node in nodes for device in node.devices) * makespan
    return round(math.fsum(_vram(job) * job.duration_s for job in ran) / whole, 6) if whole else 0.0


# ── no schedule can be shorter ────────────────────────────────────────────────────────────────────────────


def bound_s(jobs: Sequence[SimulatedJob], nodes: Sequence[NodeReport]) -> float:
    """The largest of: the longest path from its arrival on, and for each resource the work that it has to
    carry.
    """
    if not jobs:
        return 0.0
    tail = tails(jobs)
    bounds = [max(job.arrival_s + tail[job.id] for job in jobs)]
    devices = [device.vram_total_mib for node in nodes for device in node.devices]
    bounds += [_area(sum(devices), [(_vram(job), job.duration_s) for job in jobs])]
    cpu = sum(node.cpu_count for node in nodes) * 1000
    bounds.append(_area(cpu, [(job.job_class.needs.cpu * 1000, job.duration_s) for job in jobs]))
    ram = sum(node.ram_total_mib or 0 for node in nodes)
    bounds.append(_area(ram, [(job.job_class.needs.ram_mib, job.duration_s) for job in jobs]))
    singles = [
        (job.job_class.needs.vram_mib, job.duration_s) for job in jobs if job.job_class.needs.devices == 1
    ]
    if devices and len(set(devices)) == 1:
        bounds.append(_dual_feasible(devices[0], singles) / len(devices))
    return max(bounds)


def _area(capacity: float, work: Sequence[tuple[float, float]]) -> float:
    total = math.fsum(amount * seconds for amount, seconds in work)
    return total / capacity if capacity else 0.0


def _dual_feasible(capacity: int, work: Sequence[tuple[int, float]]) -> float:
    """Device seconds: with a cut, what is larger than the rest counts as a whole device, what is smaller
    as nothing.
    """
    by_amount: dict[int, float] = {}
    for amount, seconds in work:
        if amount:
            by_amount[amount] = by_amount.get(amount, 0.0) + seconds
    best = 0.0
    for cut in {
        0,
        *(a for a in by_amount if a <= capacity / 2),
        *(capacity - a + 1 for a in by_amount if a > capacity / 2),
    }:
        total = math.fsum(
            seconds * (1.0 if amount > capacity - cut else amount / capacity)
            for amount, seconds in by_amount.items()
            if amount >= cut
        )
        best = max(best, total)
    return best
