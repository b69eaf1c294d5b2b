"""Far more than fits wants in at once, everywhere: what is given away is never more than there is."""

from __future__ import annotations

import os
from typing import Any

import pytest
from builders import GIB, NOW, a_candidate, a_class, a_device, a_rate, a_report, a_reservation, a_volume
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.core.admission.admission import decide
from conductor.core.capacity.charges import charges
from conductor.model.limits import Limits, Order, PlaceRule
from conductor.model.snapshot import Candidate, Snapshot

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "25")), deadline=None)
#: Deep queues, so that only the amounts can stop anybody.
DEEP = dict.fromkeys(("gpu", "cpu", "io", "cloud"), 1000)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Candidate, ...]:
    """Each asks a seventh to a half of what a host has of several things."""

    def one(i: int) -> Candidate:
        lane = draw(st.sampled_from(["gpu", "gpu", "cpu", "io"]))
        needs: dict[str, Any] = {
            "vram_mib": draw(st.sampled_from([3500, 7000, 12000])) if lane == "gpu" else 0,
            "devices": draw(st.sampled_from([1, 1, 2])),
            "ram_mib": draw(st.sampled_from([0, 3000, 9000])),
            "cpu": draw(st.sampled_from([0, 1, 3])),
            "scratch_bytes": draw(st.sampled_from([0, 7 * GIB, 20 * GIB])),
            "rates": draw(st.sampled_from([{}, {}, {"api": (1, 3)}])),
        }
        return a_candidate(a_class(lane, id=f"class-{i}", **needs), waiting=draw(st.integers(4, 16)))

    return tuple(one(i) for i in range(draw(st.integers(2, 5))))


@st.composite
def hosts(draw: st.DrawFn) -> Snapshot:
    nodes = tuple(
        a_report(
            f"n{i}",
            devices=tuple(a_device(d, vram_used_mib=draw(st.sampled_from([0, 5000]))) for d in range(2)),
            volumes=(a_volume("scratch", free_bytes=50 * GIB),),
            ram_total_mib=32768,
            ram_available_mib=30000,
            cpu_count=8.0,
            workers=50,
        )
        for i in range(draw(st.integers(1, 2)))
    )
    going = tuple(
        a_reservation(f"run-{i:08d}", node="n0", queue="gpu-n0-gpu0", vram_mib=4000, ram_mib=2000, cpu=1.0)
        for i in range(draw(st.integers(0, 2)))
    )
    return Snapshot(
        now=NOW, nodes=nodes, reservations=going, rates=(a_rate(requests_left=4, requests_limit=9),)
    )


def has(snapshot: Snapshot) -> dict[str, float]:
    """What each place has at most, by the issue's own formula, apart from the code."""
    most: dict[str, float] = {}
    for node in snapshot.nodes:
        for device in node.devices:
            most[f"{node.node}/{device.key}:vram_mib"] = 24576 - 512 - (device.vram_used_mib or 0)
        most[f"{node.node}:ram_mib"] = 30000 - 1024
        most[f"{node.node}:cpu_milli"] = 8000
        most[f"{node.node}/scratch:bytes"] = 49 * GIB
    return most


@pytest.mark.parametrize(
    ("order", "place"),
    [("oldest", "tightest"), ("auto", "least_loss"), ("guarded", "first"), ("largest", "random")],
)
@few
@given(snapshot=hosts(), crowd=crowds())
def test_a_crowd_gets_no_more_than_there_is(
    order: Order, place: PlaceRule, snapshot: Snapshot, crowd: tuple[Candidate, ...]
) -> None:
    limits = Limits(depth=DEEP, order=order, place=place)
    admitted = [a.reservation for a in decide(snapshot, crowd, limits).admit]

    held: dict[str, int] = {}
    for reservation in (*snapshot.reservations, *admitted):
        for key, amount in charges(reservation).items():
            held[key] = held.get(key, 0) + amount
    most = has(snapshot)
    assert set(held) <= set(most)
    assert [(key, amount) for key, amount in held.items() if amount > most[key]] == []
    calls = sum(
        "api" in dict(c.job_class.needs.rates)
        for c in crowd
        for r in admitted
        if r.class_id == c.job_class.id
    )
    assert calls <= 4
