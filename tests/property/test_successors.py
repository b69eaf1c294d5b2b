"""Successors never over-commit, whatever ends when, and however late a tick applies what it decided: neither
those that are handed over, nor those that lie ready in a worker's child, or run there before the ledger
knows, and write.

That nobody starves by them: test_waiting.py."""

from __future__ import annotations

import os
from typing import Any

from builders import GIB, a_class
from hypothesis import given, settings
from hypothesis import strategies as st
from successor_house import CORES, RAM, VRAM, House

from conductor.model.limits import Order
from conductor.model.snapshot import JobClass

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "150")), deadline=None)


# ── nothing is handed out twice ───────────────────────────────────────────────────────────────────────────


def classes(lane: str) -> st.SearchStrategy[JobClass]:
    vram = st.integers(1, VRAM) if lane == "gpu" else st.just(0)
    amounts = st.tuples(
        vram,
        st.integers(0, RAM),
        st.integers(0, CORES),
        st.integers(0, 4),
        st.integers(0, 3),
        st.integers(0, 4),
        st.sampled_from([*[()] * 4, ("nuke",), ("nuke",), ("nuke", "seat"), ("encoder",)]),
        st.integers(1, 2),
    )
    return amounts.map(
        lambda a: a_class(
            lane,  # type: ignore[arg-type]
            id="-".join(map(str, (lane, *a))),
            vram_mib=a[0],
            ram_mib=a[1],
            cpu=float(a[2]),
            scratch_bytes=a[3] * GIB,
            writes={"published": a[5] * GIB} if a[5] else {},
            counters=dict.fromkeys(a[6], a[7]),
            priority=a[4],
            duration_s=float(10 * a[4]),
        )
    )


queues = st.sampled_from(["gpu-node1-gpu0", "gpu-node1-gpu1", "cpu-node1"])
ops = st.one_of(
    st.tuples(st.just("put"), st.one_of(classes("gpu"), classes("cpu"))),
    st.tuples(st.sampled_from(["turn", "turn", "turn", "fail", "lose"]), queues),
    st.tuples(st.sampled_from(["hear", "hear", "decline", "end_body"]), queues),
    st.tuples(st.sampled_from(["look", "act", "look", "act"]), st.none()),
)


@few
@given(
    first=st.lists(st.one_of(classes("gpu"), classes("cpu")), min_size=3, max_size=12),
    order=st.sampled_from(["oldest", "fifo", "auto", "shortest"]),
    plays=st.lists(ops, min_size=10, max_size=80),
    pace=st.sampled_from([0.01, 0.4]),
)
def test_at_no_instant_is_anything_handed_out_twice(
    first: list[JobClass], order: Order, plays: list[tuple[str, Any]], pace: float
) -> None:
    house = House(order)
    for job_class in first:
        house.put(job_class)
    house.look()
    house.act()
    for verb, what in plays:
        house.clock.advance(pace)
        getattr(house, verb)(*(() if what is None else (what,)))
        house.check()


def test_successors_are_handed_over_in_such_a_play() -> None:
    """The control: so the test above can fail."""
    house = House("oldest")
    for _ in range(6):
        house.put(a_class(vram_mib=20, scratch_bytes=GIB, id="whole"))
    for _ in range(2):
        house.look()
        house.act()
        for queue in house.running:
            if house.running[queue] is None:
                house.turn(queue)
    house.look()
    house.act()

    house.turn("gpu-node1-gpu0")

    assert house.ledger.handover.successions()[0] == 1
    assert house.running["gpu-node1-gpu0"] is not None


def begun(going: list[JobClass], waiting: list[JobClass]) -> House:
    """`going` run, in this order on the device 0, the device 1 and the cores; of those that wait successors
    are named.
    """
    house = House("oldest")
    for job_class in going:
        house.put(job_class)
        house.look()
        house.act()
    for queue in house.running:
        house.turn(queue)
    assert house.ledger.tallies.counts()["running"] == len(going)
    for job_class in waiting:
        house.put(job_class)
    house.look()
    house.act()
    return house


BESIDE = a_class(id="beside", vram_mib=VRAM)
WHOLE = a_class(id="whole", vram_mib=VRAM, scratch_bytes=8 * GIB)


def test_a_tick_that_did_not_see_the_successor_start_counts_on_the_disk_that_its_predecessor_filled() -> None:
    house = begun([WHOLE, BESIDE], [WHOLE])
    house.put(a_class("cpu", id="late", scratch_bytes=8 * GIB))
    house.look()

    house.turn("gpu-node1-gpu0")
    house.act()

    house.check()
    assert house.ledger.handover.successions()[0] == 1
    assert house.ledger.handover.queued() == {}, "the late one came too late: the next tick looks again"


def test_two_successors_of_one_tick_count_on_the_same_disk_so_only_one_of_them_starts() -> None:
    cores = a_class("cpu", id="z-cores", cpu=float(CORES), scratch_bytes=6 * GIB)
    device = a_class(id="device", vram_mib=VRAM, scratch_bytes=6 * GIB)
    house = begun([device, BESIDE, cores], [device, cores])
    assert house.ledger.handover.successions() == (0, 3)

    house.turn("gpu-node1-gpu0")
    house.check()
    house.turn("cpu-node1")

    house.check()
    assert house.ledger.handover.successions()[0] == 1


HALF = a_class(id="half", vram_mib=VRAM, scratch_bytes=6 * GIB)


def test_successors_with_files_lie_ready_in_such_a_play() -> None:
    house = begun([HALF, BESIDE], [HALF])
    house.hear("gpu-node1-gpu0")
    assert "gpu-node1-gpu0" in house.ready
    house.check()

    house.turn("gpu-node1-gpu0")

    house.check()
    assert house.ledger.handover.early_successions() == 1


def test_who_lies_ready_keeps_nobody_from_the_disk_who_could_start_now() -> None:
    house = begun([HALF, BESIDE], [HALF])
    house.hear("gpu-node1-gpu0")
    house.put(a_class("cpu", id="late", writes={"published": 10 * GIB}))

    for _ in range(2):
        house.look()
        house.act()
        house.check()
        house.turn("cpu-node1")
        house.hear("gpu-node1-gpu0")

    assert house.running["cpu-node1"] is not None
    assert house.ready == {}


# ── tight disks, and one preloaded behind all that runs ────────────────────────────────────────────────────


def filling(name: str, sizes: st.SearchStrategy[int]) -> st.SearchStrategy[JobClass]:
    """It wants a device, or all cores."""
    what: dict[str, Any] = {"cpu": float(CORES)} if name == "cpu" else {"vram_mib": VRAM}
    return st.tuples(sizes, sizes, st.integers(0, 2)).map(
        lambda a: a_class(
            "cpu" if name == "cpu" else "gpu",
            id=f"{name}-{a[0]}-{a[1]}-{a[2]}",
            scratch_bytes=a[0] * GIB,
            writes={"published": a[1] * GIB} if a[1] else {},
            priority=a[2],
            **what,
        )
    )


few_bytes, some = st.sampled_from([0, 0, 1, 2]), st.sampled_from([0, 0, 2, 3, 5])
small = st.tuples(some, some).map(
    lambda a: a_class("cpu", id=f"small-{a}", scratch_bytes=a[0] * GIB, writes={"published": a[1] * GIB or 1})
)
next_ones = st.one_of(filling("gpu", some), filling("cpu", some))
moves = st.one_of(
    st.tuples(st.sampled_from(["tick", "tick", "look", "act"]), st.none()),
    st.tuples(st.sampled_from(["hear", "hear", "decline", "end_body", "turn", "turn", "fail"]), queues),
    st.tuples(st.just("put"), st.one_of(next_ones, small)),
)


@few
@given(
    going=st.tuples(filling("gpu", few_bytes), filling("gpu", few_bytes), filling("cpu", few_bytes)),
    waiting=st.lists(next_ones, min_size=2, max_size=6),
    plays=st.lists(moves, min_size=10, max_size=60),
    pace=st.sampled_from([0.05, 0.4]),
)
def test_a_disk_is_never_given_twice_whoever_lies_ready_behind_what_runs(
    going: tuple[JobClass, ...], waiting: list[JobClass], plays: list[tuple[str, Any]], pace: float
) -> None:
    house = House("oldest")
    for job_class in going:
        house.put(job_class)
        house.tick()
    for queue in house.running:
        house.turn(queue)
    for job_class in waiting:
        house.put(job_class)
    house.tick()
    for verb, what in plays:
        house.clock.advance(pace)
        getattr(house, verb)(*(() if what is None else (what,)))
        house.check()
