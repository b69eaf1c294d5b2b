"""Nobody waits for ever, nor longer than was said: endless arrivals on a simulated clock, each tick by
`decide`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from builders import GIB, a_class, a_device, a_rate, a_report, a_volume
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from waiting_clock import Heritage, WaitingClock

from conductor.core.ordering.orders import AT_ONCE_S
from conductor.model.limits import Limits, Order
from conductor.model.snapshot import JobClass, RateState

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")) // 2, deadline=None)
#: The same ones each time.
fewer = settings(few, max_examples=few.max_examples // 3, derandomize=True)
DEPTH = {"gpu": 99, "cpu": 99, "io": 99, "cloud": 99}
ORDERS: tuple[Order, ...] = ("oldest", "fifo", "auto", "shortest", "guarded", "area", "largest")
KEEP, AGE, OVERDUE = 100.0, 500.0, 2000.0


def limits(order: Order = "oldest", **more: Any) -> Limits:
    values = {"keep_after_s": KEEP, "aging_s": AGE, "overdue_s": OVERDUE, "report_ttl_s": 1e9, **more}
    return Limits(order=order, depth=dict(DEPTH), vram_headroom_mib=0, ram_headroom_mib=0, **values)  # type: ignore[arg-type]


NODE = a_report(devices=(a_device(vram_total_mib=24000),), cpu_count=64.0)
BIG = a_class(vram_mib=20000, id="big", duration_s=50)
SMALL = a_class(vram_mib=4000, id="small", duration_s=60)


def stream(job_class: JobClass, per_tick: int = 1, first: tuple[tuple[JobClass, str], ...] = ()) -> Any:
    """So many of the class at each tick, without end; `first` once they fill the device, and end one by
    one.
    """

    def arrivals(number: int) -> Iterator[tuple[JobClass, str]]:
        if number == 6:
            yield from first
        for i in range(per_tick):
            yield job_class, f"{job_class.id}-{number:05d}-{i}"

    return arrivals


@pytest.mark.parametrize("order", ORDERS)
def test_a_big_job_starts_beside_an_endless_stream_of_small_ones_within_the_bound_that_was_stated(
    order: Order,
) -> None:
    world = WaitingClock((NODE,), limits(order))

    world.run(stream(SMALL, first=((BIG, "big-0"),)), 800)

    assert world.waited("big-0") <= OVERDUE + KEEP + 2 * 60
    if order == "fifo":
        return
    assert world.started["big-0"] <= world.bound["big-0"] + 5


def test_without_a_backfill_reservation_the_same_big_job_never_starts() -> None:
    """The control: so the test above can fail."""
    world = WaitingClock((NODE,), limits("oldest", keep_after_s=None))

    world.run(stream(SMALL, first=((BIG, "big-0"),)), 400)

    assert "big-0" not in world.started


def test_a_place_is_kept_also_where_nobody_gave_an_estimate() -> None:
    big, small = structs.replace(BIG, duration_s=0.0), structs.replace(SMALL, duration_s=0.0)
    node = a_report(
        devices=(a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000)), cpu_count=64.0
    )
    world = WaitingClock((node,), limits(), takes=lambda job_class: 60)

    world.run(stream(small, per_tick=3, first=((big, "big-0"),)), 400)

    # Small jobs that come within a minute are of its dispatch, three times what the devices can do: it has no
    # claim against them.
    assert world.waited("big-0") <= 3 * AT_ONCE_S + KEEP + 2 * 60
    assert world.bound == {}


def test_a_low_priority_is_not_starved_by_an_endless_stream_of_high_ones() -> None:
    low = a_class(vram_mib=4000, id="low", duration_s=60, priority=-900)
    high = structs.replace(SMALL, priority=900)
    world = WaitingClock((NODE,), limits())

    world.run(stream(high, first=((low, "low-0"),)), 400)

    assert AGE <= world.waited("low-0") <= AGE + 60
    starved = WaitingClock((NODE,), limits(aging_s=None))
    starved.run(stream(high, first=((low, "low-0"),)), 400)
    assert "low-0" not in starved.started


def test_a_big_one_of_low_priority_is_not_starved_either() -> None:
    world = WaitingClock((NODE,), limits())

    world.run(stream(structs.replace(SMALL, priority=5), first=((BIG, "big-0"),)), 600)

    # More comes than can run: a long wait is the normal state, until a job is overdue.
    assert AGE <= world.waited("big-0") <= OVERDUE + KEEP + 2 * 60


def test_backlogs_share_by_their_weights_whatever_the_length_of_their_lines() -> None:
    """Three jobs of equal size run at a time for each unit of weight: 4 and 2 of 6."""
    long = structs.replace(SMALL, id="long", backlog="long")
    short = structs.replace(SMALL, id="short", backlog="short")
    world = WaitingClock((NODE,), limits(weights={"long": 2.0}))

    def arrivals(number: int) -> Iterator[tuple[JobClass, str]]:
        yield from ((long, f"long-{number}-{i}") for i in range(200 if number == 0 else 1))
        yield from ((short, f"short-{number}-{i}") for i in range(1))

    world.run(arrivals, 300)

    begun = [sum(job_id.startswith(name) for job_id in world.started) for name in ("long", "short")]
    assert begun[0] / begun[1] == pytest.approx(2.0, rel=0.1)


def test_the_share_is_that_of_the_scarcest_resource() -> None:
    """One job of `wide` takes half of the device; ten of `thin` take half of the cores."""
    wide = a_class(vram_mib=12000, id="wide", backlog="wide", duration_s=60, cpu=1)
    thin = a_class("cpu", id="thin", backlog="thin", duration_s=60, cpu=3.2)
    world = WaitingClock((NODE,), limits())
    for i in range(100):
        world.put(wide, f"wide-{i}")
        world.put(thin, f"thin-{i}")

    order = [a.backlog for a in world.tick().admit]

    assert order[:12].count("wide") == 2
    assert order[:4] == ["thin", "wide", *["thin"] * 2]


@pytest.mark.parametrize("order", ["oldest", "shortest", "auto"])
def test_one_backlog_does_not_starve_the_other_s_big_job(order: Order) -> None:
    big = structs.replace(BIG, backlog="films")
    world = WaitingClock((NODE,), limits(order, weights={"clips": 5.0}))

    world.run(stream(structs.replace(SMALL, backlog="clips"), first=((big, "big-0"),)), 800)

    assert world.waited("big-0") <= OVERDUE + KEEP + 2 * 60


def test_a_large_call_is_not_starved_of_its_budget_by_small_ones() -> None:
    large = a_class("cloud", id="large", duration_s=5, rates={"api": (1, 80)})
    small = a_class("cloud", id="small", duration_s=5, rates={"api": (1, 10)})
    spent: list[tuple[float, int]] = []
    world = WaitingClock((a_report(workers=50),), limits())

    def budget(now: float) -> tuple[RateState, ...]:
        used = sum(tokens for at, tokens in spent if now - at < 60)
        return (a_rate(tokens_left=100 - used, tokens_limit=100, resets_at=now + 1),)

    world.rate = budget

    def arrivals(number: int) -> Iterator[tuple[JobClass, str]]:
        # What was handed out since the last tick.
        spent.extend((at, 80 if job_id.startswith("large") else 10) for job_id, at in world.started.items()
                     if at == world.now - 5)  # fmt: skip
        yield from ((small, f"small-{number}-{i}") for i in range(3))
        if number == 2:
            yield large, "large-0"

    world.run(arrivals, 120)

    # Small ones that come within a minute are of its dispatch, as many as the budget of four minutes.
    assert world.waited("large-0") <= 4 * AT_ONCE_S + KEEP + 60 + 10


# ── whatever comes ────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def kinds(draw: st.DrawFn, i: int) -> JobClass:
    return a_class(
        draw(st.sampled_from(["gpu", "gpu", "cpu"])),
        id=f"kind-{i}",
        backlog=draw(st.sampled_from("ab")),
        priority=draw(st.integers(0, 2)),
        vram_mib=draw(st.sampled_from([0, 2000, 5000, 11000, 20000])),
        devices=draw(st.sampled_from([1, 1, 2])),
        ram_mib=draw(st.sampled_from([0, 4000, 30000])),
        cpu=draw(st.sampled_from([0, 1, 6])),
        writes={"scratch": draw(st.sampled_from([0, 0, 30])) * GIB},
        duration_s=draw(st.sampled_from([20.0, 60.0, 150.0])),
    )


#: The second was passed over, and lost its promise when there was room that is reserved for the first.
PROMISED = (
    a_class("gpu", id="kind-0", backlog="a", priority=2, vram_mib=11000, devices=2, ram_mib=30000, cpu=1,
            duration_s=60.0),
    a_class("cpu", id="kind-1", backlog="b", priority=1, vram_mib=5000, ram_mib=4000, cpu=1,
            duration_s=150.0),
    a_class("cpu", id="kind-2", backlog="b", priority=1, ram_mib=30000, cpu=1, duration_s=150.0),
)  # fmt: skip
#: The order kept a place for the second, which was told as its date; the third took it one tick later.
KEPT_EARLY = (
    a_class("gpu", id="kind-0", backlog="a", duration_s=20.0),
    a_class("gpu", id="kind-1", backlog="a", ram_mib=30000, duration_s=20.0),
    a_class("gpu", id="kind-2", backlog="a", priority=2, ram_mib=30000, duration_s=20.0),
)


@few
@example("guarded", KEPT_EARLY, [(0, 1), (2, 1)])
@example("shortest", PROMISED, [(4, 2), (2, 1), (0, 1), (4, 3), (2, 2), (0, 1)])
@given(
    st.sampled_from(ORDERS),
    st.integers(2, 5).flatmap(lambda n: st.tuples(*(kinds(i) for i in range(n)))),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=6),
)
def test_every_kind_is_served_and_every_stated_bound_is_kept(
    order: Order, classes: tuple[JobClass, ...], pattern: list[tuple[int, int]]
) -> None:
    world = crowded(order, classes, pattern)

    for job_id, bound in world.bound.items():
        assert world.started.get(job_id, world.now) <= bound + 10, job_id


@fewer
@given(
    st.sampled_from(ORDERS),
    st.integers(2, 5).flatmap(lambda n: st.tuples(*(kinds(i) for i in range(n)))),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=6),
    st.integers(0, 99),
)
def test_with_durations_that_lie_by_half_a_bound_is_late_by_no_more_than_they_lie(
    order: Order, classes: tuple[JobClass, ...], pattern: list[tuple[int, int]], seed: int
) -> None:
    world = crowded(order, classes, pattern, lies=0.5, seed=seed)

    for job_id, bound in world.bound_with_lies.items():
        assert world.started.get(job_id, world.now) <= bound + 10, job_id


def crowded(
    order: Order,
    classes: tuple[JobClass, ...],
    pattern: list[tuple[int, int]],
    lies: float = 0.0,
    seed: int = 0,
) -> WaitingClock:
    """More arrives than can run, in a pattern that repeats for ever."""
    devices = (a_device(0, vram_total_mib=24000), a_device(1, vram_total_mib=24000))
    node = a_report(devices=devices, cpu_count=12.0, ram_total_mib=48000, ram_available_mib=48000,
                    volumes=(a_volume(total_bytes=100 * GIB, free_bytes=100 * GIB),))  # fmt: skip
    draw = random.Random(seed)
    world = WaitingClock((node,), limits(order, aging_s=200.0, overdue_s=400.0))
    world.takes, world.lies = lambda c: c.duration_s * draw.uniform(1 - lies, 1 + lies), lies

    def arrivals(number: int) -> Iterator[tuple[JobClass, str]]:
        if number == 0:
            yield from ((job_class, f"{job_class.id}-first") for job_class in classes)
        which, count = pattern[number % len(pattern)]
        job_class = classes[which % len(classes)]
        yield from ((job_class, f"{job_class.id}-{number:05d}-{i}") for i in range(count))

    world.run(arrivals, 300, step_s=10.0)

    for job_class in classes:
        assert f"{job_class.id}-first" in world.started
    return world


# ── with successors: what ends is followed before a tick looks ─────────────────────────────────────────


def heritage(order: Order, **more: Any) -> Heritage:
    return Heritage((NODE,), structs.replace(limits(order, **more), has_successors=True))


@pytest.mark.parametrize("order", ["oldest", "auto", "shortest", "guarded"])
def test_a_large_job_starts_beside_an_endless_stream_of_successors_within_the_bound_that_was_stated(
    order: Order,
) -> None:
    world = heritage(order)

    world.run(stream(SMALL, first=((BIG, "big-0"),)), 800)

    assert world.handed_on > 0
    assert world.waited("big-0") <= OVERDUE + KEEP + 2 * 60
    assert world.started["big-0"] <= world.bound["big-0"] + 5


def test_a_low_priority_ages_past_successors_of_a_high_one() -> None:
    low = structs.replace(SMALL, id="low", priority=-900)
    high = structs.replace(SMALL, priority=900)
    world = heritage("oldest")

    world.run(stream(high, per_tick=2, first=((low, "low-0"),)), 400)

    assert world.handed_on > 0
    assert world.waited("low-0") <= 500 + 120


def test_whoever_comes_with_a_higher_priority_goes_before_a_successor_that_was_named() -> None:
    whole = a_class(id="whole", vram_mib=20000, duration_s=60)
    urgent = structs.replace(whole, id="urgent", priority=900)
    world = heritage("oldest")
    for number in range(3):
        world.put(whole, f"whole-{number}")
    world.tick()
    world.tick()
    assert [successor.admission.reservation.job_id for successor in world.tick().successors] == ["whole-1"]

    world.put(urgent, "urgent-0")

    assert [successor.admission.reservation.job_id for successor in world.tick().successors] == ["urgent-0"]
