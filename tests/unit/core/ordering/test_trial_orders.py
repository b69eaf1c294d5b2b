"""Who goes first under each rule, who gets a place kept free, and that nobody is made to wait longer for
it.
"""

from __future__ import annotations

from typing import Any

from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot
from msgspec import structs

from conductor.core.admission.admission import decide
from conductor.core.admission.sentences import words_of
from conductor.core.ordering.trial_orders import best
from conductor.core.ordering.trial_play import Room, TrialJob, TrialRunning, TrialStage
from conductor.core.placement.fragmentation import JobShape, Worth
from conductor.model.chains import Chain, FileJob
from conductor.model.decision import Decision
from conductor.model.limits import Limits, Order
from conductor.model.reason import Reason
from conductor.model.snapshot import Candidate, Snapshot

GIB = 1 << 30


def limits(order: Order) -> Limits:
    return Limits(order=order, depth={"gpu": 9, "cpu": 9, "io": 9, "cloud": 9})


def job(name: str, vram_mib: int, duration_s: float, age_s: float = 60.0, **more: Any) -> Candidate:
    job_class = a_class(vram_mib=vram_mib, id=name, duration_s=duration_s, **more)
    return a_candidate(job_class, since=NOW - age_s)


def admitted(decision: Decision) -> list[str]:
    return [a.reservation.class_id for a in decision.admit]


def busy(vram_mib: int, for_s: float) -> Snapshot:
    running = a_reservation(vram_mib=vram_mib, expected_s=for_s + 10)
    return a_snapshot(reservations=(running,))


def test_shortest_first_and_largest_area_first() -> None:
    jobs = [job("long", 20000, 900), job("short", 20000, 9), job("wide", 24000, 890)]

    assert admitted(decide(a_snapshot(), jobs, limits("shortest"))) == ["short"]
    assert admitted(decide(a_snapshot(), jobs, limits("area"))) == ["wide"]


def test_fifo_lets_nobody_pass_and_says_behind_whom_they_wait() -> None:
    jobs = [job("old", 20000, 9, age_s=99), job("small", 1000, 9)]

    decision = decide(busy(9000, 50), jobs, limits("fifo"))

    assert admitted(decision) == []
    behind = next(hold for hold in decision.hold if hold.class_id == "small")
    assert ("waits its turn behind old-0000", Reason.NOT_ITS_TURN) in [
        (words_of(v), v.reason) for v in behind.closed
    ]


def test_what_came_at_once_is_ordered_by_size_and_what_keeps_coming_by_duration() -> None:
    together = [job("small", 20000, 9), job("large", 20000, 900)]
    coming = [job("small", 20000, 9), job("large", 20000, 900, age_s=600)]

    assert admitted(decide(a_snapshot(), together, limits("auto"))) == ["large"]
    assert admitted(decide(a_snapshot(), coming, limits("auto"))) == ["small"]


def test_without_any_estimate_the_oldest_goes_first() -> None:
    jobs = [job("young", 20000, 0), job("old", 20000, 0, age_s=600)]

    assert admitted(decide(a_snapshot(), jobs, limits("auto"))) == ["old"]


def test_a_place_is_kept_for_one_that_has_waited_too_long() -> None:
    """Until the running one ends in 50 s, what ends before may pass the large one; what would delay it may
    not.
    """
    old = job("old", 22000, 10, age_s=90000)
    quick, slow = job("quick", 4000, 40), job("slow", 4000, 400)
    many = tuple(job(f"more-{i}", 23000, 400) for i in range(200))  # too many to play through

    decision = decide(busy(12000, 50), [old, slow, quick, *many], limits("guarded"))

    assert admitted(decision) == ["quick"]
    kept = [v for h in decision.hold if h.class_id == "slow" for v in h.closed if v.gate == "hold"]
    assert kept
    assert kept[0].holders == ("old-00000000",)


def test_an_order_is_followed_only_if_nobody_waits_longer_for_it() -> None:
    """From 100 on: large, then small waits 200. Small, then large would let large wait 210."""
    large, small = TrialJob("large", -50.0, 100.0, (0, 0), 1, 10), TrialJob("small", 0.0, 60.0, (0, 0), 1, 6)
    running = [TrialRunning(100.0, 0, (0,), (0, 0), 6)]
    stage = TrialStage([large, small], [Room((0, 0), (4,))], running, 0.0)

    plan, after_long_waits = best(stage, longest_s=0.0), best(stage, longest_s=210.0)

    assert plan.order == (large, small)
    assert after_long_waits.order == (small, large)


def test_a_resource_that_the_table_gets_next_is_played_and_weighed_like_the_others() -> None:
    asks_two, has_two = TrialJob("a", 0.0, 9.0, (1, 1, 2), 0, 0), Room((99, 99, 2), ())
    assert Room((99, 99, 1), ()).devices_for(asks_two) is None
    assert has_two.devices_for(asks_two) == ()
    assert has_two.less((), asks_two.own, 0).devices_for(asks_two) is None

    worth = Worth([(JobShape((0, 0, 1), 1, 100), 1.0)])
    assert worth.of((99, 99, 2), (400,)) == 2 * 100


def test_a_job_runs_where_the_files_of_its_chain_are() -> None:
    chain = Chain(
        id="c",
        node="b",
        jobs=(FileJob(job_id="read-00000000", reads=("scratch:x",), writes={"scratch:y": GIB}),),
        kept={"scratch:x": GIB},
    )
    candidate = a_candidate(a_class("cpu", id="read", writes={"scratch": GIB}, cpu=1))
    snapshot = a_snapshot(nodes=(a_report("a"), a_report("b")), chains=(chain,))

    (admission,) = decide(snapshot, [candidate], limits("oldest")).admit
    assert admission.reservation.node == "b"

    full = structs.replace(snapshot, nodes=(a_report("a"), a_report("b", cpu_count=0.5)))
    (hold,) = decide(full, [candidate], limits("oldest")).hold
    assert {v.where.split("/")[0] for v in hold.closed if v.gate != "mount"} == {"b"}
    assert [(v.where, v.reason) for v in hold.closed if v.gate == "mount"] == [("a", Reason.NO_SHARED_ROOT)]


def test_a_chain_that_would_leave_no_way_out_is_held_by_the_scratch_gate() -> None:
    """The second writer fits now; then neither reader could write its own output."""
    jobs = tuple(
        FileJob(job_id=f"{kind}-00000000", writes={f"scratch:{kind}": 40 * GIB}, reads=reads, after=after)
        for kind, reads, after in (
            ("one", (), ()),
            ("two", (), ()),
            ("end-one", ("scratch:one",), ("one-00000000",)),
            ("end-two", ("scratch:two",), ("two-00000000",)),
        )
    )
    chains = (
        Chain(id="1", jobs=(jobs[0], jobs[2])),
        Chain(id="2", jobs=(jobs[1], jobs[3])),
    )
    writers = [a_candidate(a_class("cpu", id=name, writes={"scratch": 40 * GIB})) for name in ("one", "two")]
    snapshot = a_snapshot(chains=chains)
    free = Limits(disk_headroom_bytes={"scratch": 0, "published": 0})

    decision = decide(snapshot, writers, free)

    assert admitted(decision) == ["one"]
    assert decision.hold[0].closed[0].reason is Reason.CHAIN_UNSAFE
    blind = structs.replace(free, is_safe=False)
    assert admitted(decide(snapshot, writers, blind)) == ["one", "two"]
