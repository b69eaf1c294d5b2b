"""A play looks at jobs that ask for the same together, remembers states, and gives up early. It comes to what
a play without any of that comes to: one that looks at every job at every end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from conductor.core.ordering.trial_orders import AGES, KEPT, best
from conductor.core.ordering.trial_play import (
    WITHOUT_END,
    Outcome,
    Room,
    TrialJob,
    TrialRunning,
    TrialStage,
)

SEEDS = 60
WHOLE = Room((64, 16), (24, 24))


class PlainScene(NamedTuple):
    jobs: list[TrialJob]
    nodes: list[Room]
    running: list[TrialRunning]
    now: float

    def stage(self) -> TrialStage:
        return TrialStage(self.jobs, self.nodes, self.running, self.now)


def scene(draw: random.Random) -> PlainScene:
    """Durations and waits with many that are equal, and far apart; one or two nodes that are nearly full."""
    now, jobs, running = draw.choice((1_000.0, 1.7e9)), list[TrialJob](), list[TrialRunning]()
    kinds = [
        ((draw.randint(0, 40), draw.randint(0, 8)), *draw.choice(((0, 0), (1, draw.randint(1, 20)), (2, 9))))
        for _ in range(draw.randint(1, 8))
    ]
    for i in range(draw.randint(2, 20)):
        age_s = draw.choice((0.0, draw.uniform(0, 5_000), float(draw.randint(0, 5))))
        duration_s = draw.choice((draw.uniform(1, 5_000), float(draw.randint(1, 9))))
        jobs.append(TrialJob(f"job{i}", now - age_s, duration_s, *draw.choice(kinds)))
    nodes = [WHOLE] * draw.choice((1, 2))
    for _ in range(draw.randint(0, 8)):
        own, devices, vram = draw.choice(kinds)
        node = draw.randrange(len(nodes))
        taken = nodes[node].devices_for(TrialJob("", 0.0, 0.0, own, devices, vram))
        if taken is not None:
            nodes[node] = nodes[node].less(taken, own, vram)
            ends_at = now + draw.choice((0.0, draw.uniform(0, 3_000), float(draw.randint(0, 9))))
            running.append(TrialRunning(ends_at, node, taken, own, vram))
    return PlainScene(jobs, nodes, running, now)


def plain_play(scene: PlainScene, order: Sequence[TrialJob], keeps_first: bool) -> Outcome:
    nodes, going, left, now = list(scene.nodes), sorted(scene.running), list(order), scene.now
    total, longest = 0.0, 0.0
    while True:
        kept: tuple[float, int, Room] | None = None
        waited, started = list[TrialJob](), 0
        for job in left:
            places = [
                (node, d) for node, room in enumerate(nodes) if (d := room.devices_for(job)) is not None
            ]
            if not places and keeps_first and job is order[0]:
                kept = _kept(job, nodes, going)
            for node, devices in places:
                if kept is not None and node == kept[1] and now + job.duration_s > kept[0]:
                    beside = kept[2].less(devices, job.own, job.vram)
                    if min((*beside.own, *beside.vram)) < 0:
                        continue
                    kept = (*kept[:2], beside)
                nodes[node] = nodes[node].less(devices, job.own, job.vram)
                going.append(TrialRunning(now + job.duration_s, node, devices, job.own, job.vram))
                longest, started = max(longest, now - job.since), started + 1
                break
            else:
                waited.append(job)
        total, left = total + started * now, waited
        if not left:
            return Outcome(total, longest)
        if not going:
            return WITHOUT_END
        now = min(going).ends_at
        for ended in [one for one in going if one.ends_at <= now]:
            nodes[ended.node] = nodes[ended.node].more(*ended[2:])
            going.remove(ended)


def _kept(
    job: TrialJob, nodes: Sequence[Room], going: Sequence[TrialRunning]
) -> tuple[float, int, Room] | None:
    later = list(nodes)
    for ended in sorted(going):
        room = later[ended.node] = later[ended.node].more(*ended[2:])
        if (devices := room.devices_for(job)) is not None:
            return ended.ends_at, ended.node, room.less(devices, job.own, job.vram)
    return None


def plain_plans(scene: PlainScene) -> Iterator[tuple[list[TrialJob], bool]]:
    oldest = sorted(scene.jobs, key=lambda job: (job.since, job.id))
    shortest = sorted(scene.jobs, key=lambda job: (job.duration_s, job.since, job.id))
    yield shortest, False
    for age in AGES:
        order = sorted(shortest, key=lambda job: job.duration_s - age * (scene.now - job.since))
        yield order, False
        yield [oldest[0], *[job for job in order if job is not oldest[0]]], True
    for first in oldest[:KEPT]:
        yield [first, *[job for job in shortest if job is not first]], True


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_play_comes_to_what_a_plain_one_comes_to(seed: int) -> None:
    draw = random.Random(seed)
    drawn = scene(draw)
    stage = drawn.stage()
    for keeps_first in (False, True):
        order = draw.sample(range(len(drawn.jobs)), len(drawn.jobs))

        found = stage.play(order, keeps_first)

        plain = plain_play(drawn, [drawn.jobs[i] for i in order], keeps_first)
        assert found == plain
        assert stage.play(order, keeps_first, plain) == plain, "it is not given up for what it stays within"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_best_order_is_that_of_plays_to_the_end(seed: int) -> None:
    draw = random.Random(seed)
    drawn = scene(draw)
    longest_s = draw.choice((0.0, draw.uniform(0, 20_000)))

    plan = best(drawn.stage(), longest_s)

    oldest = sorted(drawn.jobs, key=lambda job: (job.since, job.id))
    total, longest = plain_play(drawn, oldest, False)
    chosen, limit = (oldest, False), max(longest, longest_s) + 1e-6
    for order, keeps_first in plain_plans(drawn):
        found = plain_play(drawn, order, keeps_first)
        if found.longest <= limit and found.total < total:
            chosen, total = (order, keeps_first), found.total
        if found.longest <= limit and order == sorted(
            drawn.jobs, key=lambda j: (j.duration_s, j.since, j.id)
        ):
            break
    assert (list(plan.order), plan.reserved is not None) == chosen
