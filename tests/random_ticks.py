"""Ticks as chance has them: hosts, what runs there, what waits. For properties of the decision."""

from __future__ import annotations

from typing import Any

from builders import (
    GIB,
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_reservation,
    a_volume,
)
from hypothesis import strategies as st
from msgspec import structs

from conductor.model.chains import Chain, FileJob
from conductor.model.limits import CounterRule, Limits
from conductor.model.receipt import Usage
from conductor.model.report import CounterReading, NodeReport
from conductor.model.snapshot import Candidate, Controls, Reservation, Snapshot
from conductor.model.spec import LANES

LIMITS = Limits(
    disk_headroom_bytes={"scratch": GIB, "published": 0},
    keep_after_s=100.0,
    aging_s=30.0,
    weights={"a": 2.0},
    counters={
        "nuke": CounterRule(limit=4, has_command=True),
        "seat": CounterRule(limit=2, per="node"),
        "encoder": CounterRule(limit=2, per="device"),
    },
)
NODES = ("n1", "n2")

amount = st.sampled_from([0, 1, 1000, 4096, 10240, 16384, 24064, 24576, 65536])
maybe = st.one_of(st.none(), st.integers(0, 24576))
maybe_bytes = st.one_of(st.none(), st.integers(0, 100 * GIB))
plenty = st.one_of(st.just(100 * GIB), st.integers(0, 100 * GIB))
seen, used = st.one_of(plenty, plenty, plenty, maybe_bytes), st.one_of(st.just(300), maybe)
counted = st.sampled_from(
    [*[{}] * 4, {"nuke": 1}, {"nuke": 3, "seat": 1}, {"seat": 2}, {"encoder": 1}, {"encoder": 2}]
)
written = st.sampled_from([{}, {}, {"scratch": GIB}, {"scratch": 20 * GIB}, {"scratch": 50 * GIB}])


#: Two jobs of the first class read what a third one has written.
CHAIN = Chain(
    id="chain",
    node="n1",
    jobs=tuple(
        FileJob(job_id=f"class-0-0000000{i}", reads=("scratch:x",), writes={f"scratch:y{i}": 30 * GIB})
        for i in (0, 1)
    ),
    kept={"scratch:x": 20 * GIB},
)


@st.composite
def reports(draw: st.DrawFn, node: str) -> NodeReport:
    devices = tuple(
        a_device(i, vram_total_mib=draw(st.sampled_from([8192, 24576, 40960])), vram_used_mib=draw(used),
                 quarantined=draw(st.sampled_from([None] * 7 + ["driver lost"])))
        for i in range(draw(st.integers(0, 3)))
    )  # fmt: skip
    # One file system or two: what is free there is free once.
    disk = draw(st.sampled_from([None, "one"]))
    free_there = draw(plenty)
    volumes = tuple(
        a_volume(root, filesystem=disk, free_bytes=free_there if disk else draw(seen),
                 is_writable=draw(st.sampled_from([True] * 7 + [False])),
                 fault=draw(st.sampled_from([None] * 7 + ["not mounted"])))
        for root in draw(st.sampled_from([*[("scratch", "published")] * 6, ("scratch",), ()]))
    )  # fmt: skip
    report = a_report(
        node,
        devices=devices,
        volumes=volumes,
        workers=draw(st.sampled_from([3, 3, 2, 2, 1, 0])),
        ram_total_mib=draw(st.sampled_from([None, 32768])),
        ram_available_mib=draw(st.one_of(st.just(32768), st.none(), st.integers(0, 32768))),
        cpu_count=draw(st.sampled_from([16.0, 16.0, 2.0, 0.5])),
        is_draining=draw(st.sampled_from([False] * 7 + [True])),
        sent_at=NOW - draw(st.sampled_from([0, *[1] * 10, 60])),
    )
    kept = tuple(q for q in report.queues if draw(st.sampled_from([True] * 9 + [False])))
    return structs.replace(report, queues=kept)


@st.composite
def reservations(draw: st.DrawFn, i: int) -> Reservation:
    node, key = draw(st.sampled_from(NODES)), draw(st.sampled_from(["gpu0", "gpu1"]))
    vram = draw(st.integers(0, 20000))
    usage = draw(st.one_of(st.none(), st.builds(Usage, vram_mib=maybe, rss_mib=maybe, scratch_bytes=maybe)))
    return a_reservation(
        f"run-{i:08d}",
        node=node,
        queue=f"gpu-{node}-{key}",
        devices=(key,) if vram else (),
        vram_mib=vram,
        ram_mib=draw(st.sampled_from([0, 0, 1000, 7000, 20000])),
        cpu=draw(st.sampled_from([0, 0.5, 0.5, 8])),
        held=draw(st.sampled_from([{}, {":nuke": 1}, {f"{node}:seat": 1}, {f"{node}/{key}:encoder": 1}])),
        disk=draw(written),
        usage=usage,
        expected_s=draw(st.sampled_from([0, 5, 500])),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    nodes = tuple(draw(reports(node)) for node in NODES if draw(st.sampled_from([True] * 5 + [False])))
    queues = [queue.queue for node in nodes for queue in node.queues]
    return Snapshot(
        now=NOW,
        nodes=nodes,
        reservations=tuple(draw(reservations(i)) for i in range(draw(st.sampled_from([0, 0, 1, 2, 3, 4])))),
        queued=draw(st.dictionaries(st.sampled_from(queues), st.integers(0, 6))) if queues else {},
        rates=draw(
            st.sampled_from(
                [
                    (),
                    (),
                    (),
                    (a_rate(closed_until=NOW + 9),),
                    (a_rate(requests_left=2, requests_limit=30),),
                    (a_rate(tokens_left=15, tokens_limit=40),),
                ]
            )
        ),
        counters=draw(
            st.sampled_from(
                [{"nuke": CounterReading(others=n)} for n in (0, 1)] + [{"nuke": CounterReading(fault="x")}]
            )
        ),
        outside_hours=draw(st.sampled_from([{}] * 6 + [{"cloud": NOW + 60}, {"a": NOW + 60}])),
        # The first of a class was passed over: a place is kept for it.
        passed_over=draw(
            st.dictionaries(
                st.sampled_from([f"class-{i}-00000000" for i in range(4)]),
                st.sampled_from([NOW - 5, NOW - 200, NOW - 300]),
                max_size=3,
            )
        ),
        chains=draw(st.sampled_from([(), (), (), (), (CHAIN,), (structs.replace(CHAIN, node="n2"),)])),
        controls=Controls(
            paused_lanes=draw(st.sampled_from([()] * 6 + [("gpu",), ("cloud", "cpu")])),
            is_draining=draw(st.sampled_from([False] * 15 + [True])),
            draining_nodes=draw(st.sampled_from([()] * 5 + [("n1",)])),
        ),
    )


modest = st.fixed_dictionaries({
    "vram_mib": st.sampled_from([0, 1, 1000, 4096]),
    "ram_mib": st.sampled_from([0, 1, 1000, 4096]),
    "cpu": st.sampled_from([0, 1]),
    "scratch_bytes": st.sampled_from([0, 0, GIB, 20 * GIB]),
    "writes": st.sampled_from([{}, {}, {"published": GIB}, {"published": 30 * GIB}]),
    "rates": st.sampled_from([{}, {}, {"api": (1, 10)}]),
    "counters": counted,
})  # fmt: skip
demanding = st.fixed_dictionaries({
    "vram_mib": amount,
    "devices": st.sampled_from([1, 1, 1, 2]),
    "ram_mib": amount,
    "cpu": st.sampled_from([0, 0, 1, 4, 32]),
    "scratch_bytes": st.sampled_from([0, 0, GIB, 60 * GIB]),
    "writes": st.sampled_from([{}, {}, {"published": 0}, {"published": 70 * GIB}]),
    "rates": st.sampled_from([{}, {}, {"api": (1, 10)}, {"api": (31, 0)}]),
    "counters": counted,
})  # fmt: skip


@st.composite
def candidates(draw: st.DrawFn, i: int) -> Candidate:
    values: dict[str, Any] = draw(st.one_of(modest, modest, demanding))
    lane = draw(st.sampled_from(LANES))
    job_class = a_class(
        lane, id=f"class-{i}", backlog=draw(st.sampled_from("ab")), priority=draw(st.integers(0, 1)), **values
    )
    return a_candidate(job_class, waiting=draw(st.integers(1, 5)))


crowds = st.integers(1, 4).flatmap(lambda n: st.tuples(*(candidates(i) for i in range(n))))
Tick = tuple[Snapshot, tuple[Candidate, ...]]
