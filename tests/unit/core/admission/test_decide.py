"""Who goes first, where to, and when to look again."""

from __future__ import annotations

from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.gate_ledger import is_other_reason, with_since
from conductor.core.admission.holds import RAMP_S
from conductor.model.limits import Limits
from conductor.model.report import QueueReport
from conductor.model.snapshot import Controls

LIMITS = Limits()


def test_priority_goes_before_age() -> None:
    old = a_candidate(a_class(vram_mib=20000, id="old"), since=NOW - 9999)
    urgent = a_candidate(a_class(vram_mib=20000, id="urgent", priority=5))

    decision = decide(a_snapshot(), [old, urgent], LIMITS)

    assert [a.reservation.class_id for a in decision.admit] == ["urgent"]
    assert [hold.class_id for hold in decision.hold] == ["old"]


def test_of_equal_priority_the_oldest_head_goes_first() -> None:
    young = a_candidate(a_class(vram_mib=20000, id="a-young"))
    old = a_candidate(a_class(vram_mib=20000, id="b-old"), since=NOW - 9999)

    assert [a.reservation.class_id for a in decide(a_snapshot(), [young, old], LIMITS).admit] == ["b-old"]


def test_a_long_backlog_does_not_starve_a_younger_one() -> None:
    long = a_candidate(a_class("cloud", id="long", backlog="long"), waiting=10_000, since=NOW - 9999)
    short = a_candidate(a_class("cloud", id="short", backlog="short"), waiting=3)

    going = decide(a_snapshot(), [long, short], LIMITS).admit

    assert [a.backlog for a in going] == ["long", "short", "long", "short", "long"]


def test_what_is_going_already_counts_for_its_backlog() -> None:
    long = a_candidate(a_class("cloud", id="long", backlog="long"), waiting=9, since=NOW - 9999)
    short = a_candidate(a_class("cloud", id="short", backlog="short"), waiting=9)
    running = tuple(a_reservation(f"j{i}", backlog="long", queue="x", lane="cloud") for i in range(3))

    going = decide(a_snapshot(reservations=running), [long, short], LIMITS).admit

    assert [a.backlog for a in going] == ["short", "short", "short", "long", "short"]


def test_a_class_that_does_not_fit_lets_smaller_ones_pass() -> None:
    busy = a_reservation(vram_mib=16384)
    big = a_candidate(a_class(vram_mib=10240, id="big"), since=NOW - 9999)
    small = a_candidate(a_class(vram_mib=4096, id="small"))

    decision = decide(a_snapshot(reservations=(busy,)), [big, small], LIMITS)

    assert [a.reservation.class_id for a in decision.admit] == ["small"]


def test_an_idle_worker_comes_before_a_tighter_device() -> None:
    node = a_report(devices=2, workers=1)
    busy = a_reservation(vram_mib=10240)

    decision = decide(
        a_snapshot(nodes=(node,), reservations=(busy,)), [a_candidate(a_class(vram_mib=10240))], LIMITS
    )

    assert decision.admit[0].reservation.devices == ("gpu1",)


def test_with_workers_free_everywhere_the_tightest_device_is_taken() -> None:
    node = a_report(devices=3)
    busy = a_reservation(vram_mib=10240, devices=("gpu1",), queue="gpu-node1-gpu1")

    decision = decide(
        a_snapshot(nodes=(node,), reservations=(busy,)), [a_candidate(a_class(vram_mib=10240))], LIMITS
    )

    assert decision.admit[0].reservation.devices == ("gpu1",)


def test_jobs_without_needs_spread_over_the_hosts() -> None:
    decision = decide(
        a_snapshot(nodes=(a_report("a"), a_report("b"))), [a_candidate(a_class("cpu"), waiting=4)], LIMITS
    )

    assert sorted(a.reservation.node for a in decision.admit) == ["a", "a", "b", "b"]
    assert [a.reservation.node for a in decision.admit[:2]] == ["a", "b"]


def test_the_attempt_is_the_next_one_and_the_reservation_says_all_it_takes() -> None:
    job_class = a_class(vram_mib=1024, ram_mib=512, cpu=1.5, duration_s=9, writes={"published": 7})
    (admission,) = decide(a_snapshot(), [a_candidate(job_class)], LIMITS).admit

    r = admission.reservation
    assert (r.attempt, r.vram_mib, r.ram_mib, r.cpu, r.disk) == (1, 1024, 512, 1.5, {"published": 7})
    assert (r.state, r.admitted_at, r.expected_s) == ("admitted", NOW, 9)
    assert set(admission.ceilings) == {
        "node1/gpu0:vram_mib",
        "node1:ram_mib",
        "node1:cpu_milli",
        "node1/published:bytes",
    }


def test_nothing_to_do_looks_again_at_the_tick() -> None:
    decision = decide(a_snapshot(), [], LIMITS)

    assert (decision.admit, decision.hold, decision.next_tick_s) == ((), (), LIMITS.tick_s)


def test_more_jobs_than_heads_looks_again_at_once() -> None:
    candidate = a_candidate(a_class("cloud"), waiting=100, heads=2)

    assert decide(a_snapshot(), [candidate], LIMITS).next_tick_s == 0


def test_idle_workers_behind_a_full_queue_are_fed_soon() -> None:
    decision = decide(a_snapshot(), [a_candidate(a_class("cpu"), waiting=9)], LIMITS)
    assert decision.next_tick_s == RAMP_S

    node = a_report(queues=(QueueReport(queue="cpu-node1", lane="cpu", workers=2),))
    decision = decide(a_snapshot(nodes=(node,)), [a_candidate(a_class("cpu"), waiting=9)], LIMITS)
    assert decision.next_tick_s == LIMITS.tick_s


def test_since_is_kept_while_the_same_gates_hold() -> None:
    paused = a_snapshot(controls=Controls(paused_lanes=("gpu",)))
    full = a_snapshot(reservations=(a_reservation(vram_mib=24000),), now=NOW + 1)
    candidates = [a_candidate(a_class(vram_mib=10240))]

    first = decide(paused, candidates, LIMITS).hold
    again = with_since(
        decide(a_snapshot(controls=Controls(paused_lanes=("gpu",)), now=NOW + 1), candidates, LIMITS).hold,
        first,
    )
    other = with_since(decide(full, candidates, LIMITS).hold, first)

    assert [hold.since for hold in (*first, *again, *other)] == [NOW, NOW, NOW + 1]
    assert not is_other_reason(again, first)
    assert is_other_reason(other, first)
    assert is_other_reason((), first)


def test_only_the_nodes_with_most_to_give_are_named() -> None:
    nodes = tuple(a_report(f"n{i:02d}", devices=2) for i in range(30))
    (hold,) = decide(a_snapshot(nodes=nodes), [a_candidate(a_class(vram_mib=30000))], LIMITS).hold

    assert len({v.where.split("/")[0] for v in hold.closed}) == 3
    assert hold.is_infeasible


def test_one_that_can_never_run_does_not_use_up_the_turn_of_those_passed_over() -> None:
    """Both were passed over for long enough; the first needs more cores than any node has."""
    never = a_candidate(a_class("cpu", id="0-never", cpu=1000))
    due = a_candidate(a_class("cpu", id="1-due", cpu=10))
    older = a_candidate(a_class("cpu", id="2-older", cpu=10), since=NOW - 9999)
    passed_over = {"0-never-00000000": NOW - 1000, "1-due-00000000": NOW - 1000}
    one_place = a_snapshot(nodes=(a_report(cpu_count=16.0),), passed_over=passed_over)
    limits = Limits(order="oldest", keep_after_s=300.0)

    decision = decide(one_place, [never, due, older], limits)

    assert [a.reservation.class_id for a in decision.admit] == ["1-due"]
