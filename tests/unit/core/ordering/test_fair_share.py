"""Backlogs get what their weights say, whatever the sizes of their jobs: on a clock, tick by tick."""

from __future__ import annotations

from typing import Any

import pytest
from builders import a_class, a_device, a_rate, a_report
from msgspec.structs import replace
from waiting_clock import Heritage, WaitingClock

from conductor.model.limits import Limits
from conductor.model.snapshot import JobClass, RateState

WORLDS = (WaitingClock, Heritage)
DEPTH = {"gpu": 9, "cpu": 9, "io": 9, "cloud": 99}
NODE = a_report(devices=(a_device(vram_total_mib=24000),), cpu_count=64.0)
TWO = a_report(devices=(a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000)), cpu_count=64.0)


def limits(**more: Any) -> Limits:
    usual: dict[str, Any] = {"aging_s": 3600.0, "overdue_s": 43_200.0, "keep_after_s": 300.0}
    headroom = {"vram_headroom_mib": 0, "ram_headroom_mib": 0}
    return Limits(order="auto", depth=dict(DEPTH), report_ttl_s=1e9, **{**usual, **headroom, **more})


def a_world(kind: type[WaitingClock], node: Any, **more: Any) -> WaitingClock:
    return kind((node,), limits(has_successors=kind is Heritage, **more))


def begun(world: WaitingClock, name: str, since: float = 0.0, until: float = float("inf")) -> int:
    return sum(job.startswith(f"{name}-") and since <= at < until for job, at in world.started.items())


def until_one_is_done(world: WaitingClock, *parts: tuple[JobClass, int], step_s: float = 0.0) -> list[int]:
    """How many of each backlog were begun before the first of them had none left. `step_s`: from tick to
    tick; otherwise from end to end.
    """
    for job_class, count in parts:
        for i in range(count):
            world.put(job_class, f"{job_class.id}-{i:04d}")
    while all(world.waiting[job_class.id][1] for job_class, _ in parts):
        last = world.now
        world.tick()
        world.now = world.now + step_s if step_s else min(ends for ends, _ in world.running)
    return [begun(world, job_class.id, until=last) for job_class, _ in parts]


def used_s(job_class: JobClass, count: int) -> float:
    return count * job_class.needs.vram_mib * job_class.duration_s


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize(
    ("node", "vram_mib"),
    [(NODE, 4000), (NODE, 6000), (NODE, 24000), (TWO, 24000)],
    ids=["six at a time", "four at a time", "one at a time", "one on each of two"],
)
def test_equal_jobs_of_two_backlogs_start_as_their_weights_are(
    kind: type[WaitingClock], node: Any, vram_mib: int
) -> None:
    one, three = (a_class(id=name, backlog=name, vram_mib=vram_mib, duration_s=60) for name in "ab")
    world = a_world(kind, node, weights={"b": 3.0})

    few, many = until_one_is_done(world, (one, 60), (three, 60))

    assert many / few == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("weights", [{"small": 3.0}, {}, {"large": 3.0}], ids=["1:3", "1:1", "3:1"])
@pytest.mark.parametrize("seconds", [(60.0, 60.0, 20), (600.0, 60.0, 9), (20.0, 300.0, 50)])
def test_large_jobs_get_their_part_beside_small_ones(
    kind: type[WaitingClock], weights: dict[str, float], seconds: tuple[float, float, int]
) -> None:
    large = a_class(id="large", backlog="large", vram_mib=20000, duration_s=seconds[0])
    small = a_class(id="small", backlog="small", vram_mib=4000, duration_s=seconds[1])
    world = a_world(kind, NODE, weights=weights)

    counts = until_one_is_done(world, (large, seconds[2]), (small, 1000))

    of_large, of_small = used_s(large, counts[0]), used_s(small, counts[1])
    meant = weights.get("large", 1.0) / (weights.get("large", 1.0) + weights.get("small", 1.0))
    assert of_large / (of_large + of_small) == pytest.approx(meant, abs=0.06)


@pytest.mark.parametrize("duration_s", [0.0, 60.0], ids=["nobody knows how long", "known"])
def test_where_one_runs_at_a_time_weights_hold_without_estimates_too(duration_s: float) -> None:
    one, three = (a_class(id=name, backlog=name, vram_mib=20000, duration_s=duration_s) for name in "ab")
    world = a_world(WaitingClock, NODE, weights={"b": 3.0})
    world.takes = lambda job_class: 60.0

    few, many = until_one_is_done(world, (one, 40), (three, 40))

    assert many / few == pytest.approx(3.0, rel=0.15)


class Called(WaitingClock):
    """An API of so many requests in a minute, and of tokens where that is said."""

    requests, tokens = 60, 100_000

    def tick(self) -> Any:
        lately = [job for job, at in self.started.items() if self.now - at < 60]
        asked = [self.waiting[job.rpartition("-")[0]][0].needs.rates["api"] for job in lately]
        self.rate = lambda now: (self._state(now, len(asked), sum(need.tokens for need in asked)),)
        return super().tick()

    def _state(self, now: float, calls: int, tokens: int) -> RateState:
        return a_rate(
            requests_left=self.requests - calls,
            requests_limit=self.requests,
            tokens_left=self.tokens - tokens,
            tokens_limit=self.tokens,
            resets_at=now + 5,
            tokens_reset_at=now + 5,
        )


@pytest.mark.parametrize(
    ("others", "meant"),
    [({"duration_s": 40.0}, 1.0), ({"rates": {"api": (1, 9000)}}, 9000 / 3000)],
    ids=["calls that take longer", "calls of three times the tokens"],
)
def test_the_budget_of_an_api_is_shared_like_anything_else(others: dict[str, Any], meant: float) -> None:
    plain = a_class("cloud", id="plain", backlog="plain", duration_s=4, rates={"api": (1, 3000)})
    other = a_class(
        "cloud", **{"duration_s": 4, "rates": {"api": (1, 3000)}, **others}, id="other", backlog="o"
    )
    world = Called((a_report(workers=50),), limits())

    counts = until_one_is_done(world, (plain, 200), (other, 200), step_s=5.0)

    assert counts[0] / counts[1] == pytest.approx(meant, rel=0.1)


def worlds_after_an_hour(**more: Any) -> tuple[WaitingClock, JobClass, JobClass]:
    """The first backlog had the machine to itself for an hour, and has as much to do again."""
    first, second = (a_class(id=name, backlog=name, vram_mib=20000, duration_s=60) for name in "ab")
    world = a_world(WaitingClock, NODE, **more)
    for i in range(200):
        world.put(first, f"a-{i}")
    world.run(lambda number: iter(()), 120, step_s=30)
    for i in range(200):
        world.put(second, f"b-{i}")
    return world, first, second


def test_who_had_the_machine_alone_owes_nobody_anything() -> None:
    world, _, _ = worlds_after_an_hour()
    since = world.now

    world.run(lambda number: iter(()), 40, step_s=30)

    assert abs(begun(world, "a", since) - begun(world, "b", since)) <= 2


def test_with_a_half_life_who_had_much_in_the_last_hours_goes_behind() -> None:
    world, _, _ = worlds_after_an_hour(half_life_s=3600.0)
    since = world.now

    world.run(lambda number: iter(()), 40, step_s=30)
    soon = begun(world, "a", since)
    world.run(lambda number: iter(()), 80, step_s=30)

    # It has used 44 minutes by then; the other one has as much after half an hour.
    assert soon == 0
    assert 8 <= begun(world, "a", since) < begun(world, "b", since)


def test_a_backlog_whose_lane_has_no_worker_saves_up_nothing() -> None:
    night = a_class("cpu", id="night", backlog="night", cpu=64.0, duration_s=60)
    called = a_class("cloud", id="called", backlog="calls", cpu=64.0, duration_s=60)
    closed = replace(NODE, queues=tuple(q for q in NODE.queues if q.lane != "cloud"))
    world = a_world(WaitingClock, closed)
    for i in range(100):
        world.put(night, f"night-{i}")
        world.put(called, f"called-{i}")
    world.run(lambda number: iter(()), 60, step_s=30)
    assert begun(world, "called", 0) == 0
    since, world.nodes = world.now, (NODE,)

    world.run(lambda number: iter(()), 20, step_s=30)

    assert abs(begun(world, "night", since) - begun(world, "called", since)) <= 2
