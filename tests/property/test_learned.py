"""Whatever receipts say: never below a floor, never lower for having seen more, never a job that cannot
run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from builders import a_candidate, a_device, a_report, a_snapshot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learned_scene import CODE, DECLARED, OLD, a_receipt, learned, of_size, out_of_vram

from conductor.core.admission.admission import decide
from conductor.core.capacity.cluster import Free
from conductor.core.needs.caps import within
from conductor.core.needs.samples import quantile
from conductor.model.limits import Limits
from conductor.model.receipt import Receipt
from conductor.model.spec import Needs

FLOOR = Needs(vram_mib=1500, ram_mib=100)
SIZES = (0.0, 100.0, 150.0, 400.0)

samples = st.lists(
    st.tuples(
        st.integers(0, 30_000),
        st.sampled_from(SIZES),
        st.sampled_from((CODE, CODE, OLD)),
        st.sampled_from((0.5, 5.0)),
        st.sampled_from(("ok", "ok", "ok", "ok", "ok", "out")),
    ),
    max_size=70,
)


def receipts_of(rows: Sequence[tuple[int, float, str, float, str]], more: int = 0) -> list[Receipt]:
    """`more`: this much is added to what each took."""
    found: list[Receipt] = []
    for n, (vram, size, code, seconds, outcome) in enumerate(rows):
        make: Any = a_receipt if outcome == "ok" else out_of_vram
        found.append(make(n, vram=vram + more, size=size, code_version=code, seconds=seconds))
    return found


@given(samples, st.sampled_from(SIZES))
def test_never_below_the_floor_and_never_zero_where_something_was_declared(rows: Any, size: float):
    found = learned(receipts_of(rows), floor=FLOOR).need(of_size(size), "vram_mib")

    assert found.uses >= min(DECLARED.vram_mib, FLOOR.vram_mib)
    assert learned(receipts_of(rows)).need(of_size(size), "vram_mib").uses > 0


@given(samples, st.integers(1, 5000), st.sampled_from(SIZES))
def test_who_took_more_is_never_asked_less(rows: Any, more: int, size: float):
    before = learned(receipts_of(rows)).need(of_size(size), "vram_mib").uses

    assert learned(receipts_of(rows, more)).need(of_size(size), "vram_mib").uses >= before


@given(samples, st.data())
def test_one_sample_raised_never_lowers_what_is_asked(rows: Any, data: st.DataObject):
    if not rows:
        return
    at, more = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(1, 20_000))
    size = data.draw(st.sampled_from(SIZES))
    raised = [(r[0] + more, *r[1:]) if i == at else r for i, r in enumerate(rows)]

    before = learned(receipts_of(rows)).need(of_size(size), "vram_mib").uses

    assert learned(receipts_of(raised)).need(of_size(size), "vram_mib").uses >= before


@given(samples, st.sampled_from(SIZES), st.randoms(use_true_random=False))
def test_the_order_in_which_files_are_read_changes_nothing(rows: Any, size: float, random: Any):
    receipts = receipts_of(rows[:60])
    shuffled = list(receipts)
    random.shuffle(shuffled)

    assert learned(receipts).need(of_size(size), "vram_mib") == learned(shuffled).need(
        of_size(size), "vram_mib"
    )


@given(samples, st.sampled_from(SIZES))
def test_all_of_95_per_cent_of_what_was_seen_fits_into_what_is_asked(rows: Any, size: float):
    found = learned(receipts_of(rows)).need(of_size(size), "vram_mib")
    took = [s.vram_mib or 0 for s in found.samples if s.ran_out_of is None]

    assert not took or quantile(took, 0.95) <= found.uses


devices = st.lists(
    st.tuples(st.sampled_from((4608, 8192, 24576, 81920)), st.integers(0, 30_000)), min_size=1, max_size=3
)


@settings(max_examples=200)
@given(
    nodes=st.lists(st.tuples(devices, st.sampled_from((4096, 16384, 65536))), min_size=1, max_size=3),
    wants=st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 1 << 45)),
    asks=st.tuples(st.sampled_from((0, 1000, 4096, 20000)), st.sampled_from((0, 2000, 30000))),
    count=st.integers(1, 2),
)
@example([([(4608, 0)], 4096), ([(4608, 3097)], 16384)], (0, 2573, 0), (1000, 0), 1)
def test_what_runs_as_declared_runs_as_learned_where_nothing_else_does(
    nodes: Any, wants: Any, asks: Any, count: int
):
    reports = tuple(
        a_report(
            f"node{i}",
            devices=tuple(
                a_device(j, vram_total_mib=t, vram_used_mib=min(t, u)) for j, (t, u) in enumerate(of_node)
            ),
            ram_total_mib=ram,
            ram_available_mib=ram - 500,
        )
        for i, (of_node, ram) in enumerate(nodes)
    )
    snapshot, limits = a_snapshot(nodes=reports), Limits()
    c = of_size(vram_mib=asks[0], ram_mib=asks[1], devices=count)
    needs = msgspec.structs.replace(
        c.needs, vram_mib=max(asks[0], wants[0]), ram_mib=max(asks[1], wants[1]), scratch_bytes=wants[2]
    )

    cut = within(c, needs, Free(snapshot, limits))

    as_learned = decide(snapshot, [a_candidate(msgspec.structs.replace(c, needs=cut))], limits)
    as_declared = decide(snapshot, [a_candidate(c)], limits)
    if asks[0]:  # without a declared need a device that others fill is waited for
        assert len(as_learned.admit) == len(as_declared.admit)
    assert [h.is_infeasible for h in as_learned.hold if h.is_infeasible] == [
        h.is_infeasible for h in as_declared.hold if h.is_infeasible
    ]


def foretold_off(seed: int, takes: Callable[[float, random.Random], float], lies: float, count: int) -> Any:
    """After so many receipts: how far off, over thirty other jobs, what was learned is and what was declared,
    as parts of what they took together; job by job."""
    draw = random.Random(seed)

    def a_job() -> tuple[float, float, float]:
        size = round(draw.lognormvariate(4, 1.5), 1)
        took_s = takes(size, draw)
        return size, took_s, took_s * draw.uniform(1 - lies, 1 + lies)

    jobs = enumerate(a_job() for _ in range(count))
    known = learned([a_receipt(n, size=size, seconds=s, duration_s=told) for n, (size, s, told) in jobs])
    others = [a_job() for _ in range(30)]
    by_learned = sum(
        abs(known.duration_s(of_size(size, duration_s=told)) - took_s) for size, took_s, told in others
    )
    all_s = sum(took_s for _, took_s, _ in others)
    return by_learned / all_s, sum(abs(told - took_s) for _, took_s, told in others) / all_s


@pytest.mark.parametrize("lies", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "takes",
    [
        lambda size, draw: draw.lognormvariate(3, 1),
        lambda size, draw: 2 + size / 20,
        lambda size, draw: size**0.5,
    ],
    ids=["nothing to do with size", "by size", "by the root of it"],
)
def test_a_learned_duration_is_never_worse_than_the_declared_one(takes: Any, lies: float):
    for count in (5, 20, 60):
        pairs = [foretold_off(seed, takes, lies, count) for seed in range(12)]
        by_learned, by_declared = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        assert by_learned <= 1.1 * by_declared, (count, by_learned, by_declared)
