"""A request that asks for no less than one that found no room in the same tick is not asked again. It is
never one that would have been admitted: with every request asked anew the tick decides the same.
"""

from __future__ import annotations

import os
import random

import pytest
from builders import GIB, NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot, a_volume
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.core.admission.decision_state import DecisionState
from conductor.core.admission.roomless import Roomless
from conductor.core.capacity.request import Demand
from conductor.core.placement.place import node_fits
from conductor.model.chains import Chain, FileJob
from conductor.model.limits import Limits, PlaceRule
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, Snapshot

SEEDS = range(int(os.environ.get("ROOMLESS_SEEDS", "40")))
LIMITS = Limits(depth={"gpu": 4, "cpu": 4, "io": 4, "cloud": 4}, order="guarded", has_successors=True)


def a_crowd(draw: random.Random) -> tuple[Snapshot, list[Candidate]]:
    """Nodes with little left of one thing or another, on some of which two roots are one file system or a
    disk is full, and many sorts of jobs; some write to two roots, some read what lies on a node."""
    nodes = tuple(_host(draw, f"n{i}") for i in range(draw.choice((1, 2, 5))))
    reservations = tuple(
        a_reservation(
            f"run{i}",
            node=(node := draw.choice(nodes)).node,
            queue=f"cpu-{node.node}",
            lane="cpu",
            cpu=draw.choice((1.0, 4.0)),
            ram_mib=draw.choice((0, 20_000)),
            disk={"scratch": draw.randint(0, 30) * GIB},
            expected_s=draw.choice((0.0, 60.0, 600.0)),
        )
        for i in range(draw.randint(0, 6))
    )
    found: list[Candidate] = []
    for i in range(draw.randint(2, 40)):
        writes = {root: draw.choice((0, draw.randint(1, 90))) * GIB for root in ("scratch", "published")}
        job_class = a_class(
            draw.choice(("cpu", "gpu")),
            id=f"class{i}",
            backlog=draw.choice(("a", "b")),
            priority=draw.choice((0, 0, 1)),
            duration_s=float(draw.randint(1, 900)),
            cpu=float(draw.choice((0, 1, 2, 8, 14))),
            ram_mib=draw.choice((0, 1_000, 50_000)),
            writes=dict(draw.sample(sorted(writes.items()), draw.randint(0, 2))),
        )
        if job_class.lane == "gpu":
            vram_mib = draw.choice((0, 4_000, 20_000))
            job_class = replace(job_class, needs=replace(job_class.needs, vram_mib=vram_mib))
        heads = draw.randint(1, 3)
        found.append(a_candidate(job_class, waiting=heads, since=NOW - draw.randint(1, 9_000)))
    chains = tuple(
        Chain(
            id=f"chain{i}",
            node=draw.choice(nodes).node,
            jobs=(FileJob(job_id=candidate.heads[0].job_id, reads=("scratch:x",)),),
            kept={"scratch:x": GIB},
        )
        for i, candidate in enumerate(draw.sample(found, draw.randint(0, 2)))
    )
    passed_over = {c.heads[0].job_id: NOW - draw.randint(0, 9_000) for c in draw.sample(found, 2)}
    return a_snapshot(nodes=nodes, reservations=reservations, chains=chains, passed_over=passed_over), found


def _host(draw: random.Random, name: str) -> NodeReport:
    shared = draw.choice((None, None, "one"))
    scratch = a_volume(
        free_bytes=draw.randint(0, 100) * GIB,
        filesystem=shared,
        opens_at_bytes=draw.choice((None, None, 50 * GIB)),
    )
    published = a_volume(
        "published", free_bytes=draw.randint(0, 100) * GIB, filesystem=shared, is_writable=draw.random() < 0.9
    )
    volumes = (scratch, published) if draw.random() < 0.8 else (scratch,)
    return a_report(name, devices=draw.choice((0, 1, 2)), volumes=volumes)


@pytest.mark.parametrize("place", ["least_loss", "tightest"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_tick_decides_as_if_every_request_were_asked(
    seed: int, place: PlaceRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, candidates = a_crowd(random.Random(seed))
    limits = replace(LIMITS, place=place)

    decided = decide(snapshot, candidates, limits)

    monkeypatch.setattr(Roomless, "has_none_for", lambda self, demand: False)
    assert decided == decide(snapshot, candidates, limits)


def test_what_has_none_for_fits_on_no_node() -> None:
    told = 0
    for seed in SEEDS:
        snapshot, candidates = a_crowd(random.Random(seed))
        state, roomless = DecisionState(snapshot, LIMITS), Roomless()
        demands = [state.demand(c.job_class) for c in candidates]
        demands += [Demand(c.job_class, snapshot.nodes[0].node) for c in candidates]
        for demand in demands:
            fits = any(node_fits(node, demand) for node in state.free.nodes.values())
            if roomless.has_none_for(demand):
                told += 1
                assert not fits, f"seed {seed}"
            elif not fits:
                roomless.add(demand)
                assert roomless.has_none_for(demand), f"seed {seed}"
    assert told > len(SEEDS), "most crowds have somebody who asks for as much as another"


def test_a_closed_disk_refuses_what_begins_and_not_what_goes_on() -> None:
    """Both ask to be on the same node, and for the same; the older one would begin something there."""
    closed = a_report("n0", volumes=(a_volume(free_bytes=40 * GIB, opens_at_bytes=50 * GIB),))
    begins, goes_on = (
        a_candidate(a_class("cpu", id=name, node="n0", writes={"scratch": GIB}), since=NOW - age_s)
        for name, age_s in (("begins", 900), ("goes-on", 60))
    )
    jobs = (FileJob(job_id=goes_on.heads[0].job_id, reads=("scratch:x",), writes={"scratch:y": GIB}),)
    chain = Chain(id="c", node="n0", jobs=jobs, kept={"scratch:x": GIB})

    decided = decide(
        a_snapshot(nodes=(closed,), chains=(chain,)), [begins, goes_on], replace(LIMITS, order="oldest")
    )

    assert [admission.reservation.class_id for admission in decided.admit] == ["goes-on"]
