"""What users count by name: who is let in, who holds it, what is said, and where it is counted."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.explain import sentence
from conductor.core.admission.incremental import Keeping
from conductor.core.capacity.charges import charges
from conductor.model.decision import Decision, Hold, Verdict
from conductor.model.limits import CounterRule, Limits, PlaceRule
from conductor.model.report import CounterReading
from conductor.model.snapshot import Snapshot
from conductor.model.spec import LANES

NUKE = {"nuke": CounterRule(limit=3)}
RULES: tuple[PlaceRule, ...] = ("tightest", "least_loss", "first", "random")


def limits(counters: dict[str, CounterRule] = NUKE, **more: Any) -> Limits:
    return Limits(**{"counters": counters, "depth": dict.fromkeys(LANES, 9), "has_successors": True, **more})


def held_of(decision: Decision) -> list[dict[str, int]]:
    return [a.reservation.held for a in decision.admit]


def closed(hold: Hold) -> Verdict:
    (verdict,) = [v for v in hold.closed if v.gate == "counter"]
    return verdict


@pytest.mark.parametrize("place", RULES)
def test_no_more_are_let_in_than_there_are_anywhere(place: PlaceRule):
    snapshot = a_snapshot(nodes=(a_report("node1"), a_report("node2")))
    job_class = a_class("cpu", cpu=1, counters={"nuke": 1})

    decision = decide(snapshot, [a_candidate(job_class, waiting=9)], limits(place=place))

    assert held_of(decision) == [{":nuke": 1}] * 3
    assert [a.ceilings[":nuke"] for a in decision.admit] == [3, 3, 3]
    assert charges(decision.admit[0].reservation)[":nuke"] == 1


def test_a_refusal_says_how_many_are_held_and_by_whom():
    holders = [
        a_reservation(f"holder-{i}", held={":nuke": n}, expected_s=60.0 * n) for i, n in ((1, 1), (2, 2))
    ]
    snapshot = a_snapshot(reservations=tuple(holders))

    (hold,) = decide(snapshot, [a_candidate(a_class("cpu", counters={"nuke": 2}))], limits()).hold

    verdict = closed(hold)
    assert (verdict.where, verdict.need, verdict.have, verdict.limit) == ("nuke", 2, 0, 3)
    assert verdict.holders == ("holder-1", "holder-2")
    assert verdict.reopens_at == NOW + 110, "one is not enough"
    said = sentence(hold, NOW, 60.0)
    assert "waits for 2 of nuke: 3 of 3 held by holder-1, holder-2 for about 1 min 50 s more" in said
    assert not hold.is_infeasible


def test_what_is_counted_by_the_node_is_counted_there():
    rules = {"seat": CounterRule(limit=1, per="node")}
    snapshot = a_snapshot(
        nodes=(a_report("node1"), a_report("node2")), reservations=(a_reservation(held={"node1:seat": 1}),)
    )

    decision = decide(
        snapshot, [a_candidate(a_class("cpu", cpu=1, counters={"seat": 1}), waiting=5)], limits(rules)
    )

    assert held_of(decision) == [{"node2:seat": 1}]
    (hold,) = decision.hold
    assert [v.where for v in hold.closed if v.gate == "counter"] == ["node1/seat", "node2/seat"]


@pytest.mark.parametrize("place", RULES)
def test_what_is_counted_by_the_device_is_counted_on_each(place: PlaceRule):
    """Two encoder sessions a card: the fuller card has none left, and the next job goes to the emptier
    one.
    """
    rules = {"encoder": CounterRule(limit=2, per="device")}
    busy = a_reservation(held={"node1/gpu0:encoder": 2}, vram_mib=8000)
    snapshot = a_snapshot(nodes=(a_report(devices=2),), reservations=(busy,))
    job_class = a_class(vram_mib=1000, cpu=1, counters={"encoder": 1})

    decision = decide(snapshot, [a_candidate(job_class, waiting=5)], limits(rules, place=place))

    assert held_of(decision) == [{"node1/gpu1:encoder": 1}] * 2
    assert {v.where for v in decision.hold[0].closed} >= {"node1/gpu0/encoder", "node1/gpu1/encoder"}


def test_a_job_of_several_devices_holds_it_on_each_of_them():
    rules = {"encoder": CounterRule(limit=2, per="device")}
    snapshot = a_snapshot(nodes=(a_report(devices=2),))
    job_class = a_class(vram_mib=1000, devices=2, counters={"encoder": 2})

    decision = decide(snapshot, [a_candidate(job_class, waiting=2)], limits(rules))

    assert held_of(decision) == [{"node1/gpu0:encoder": 2, "node1/gpu1:encoder": 2}]


def test_without_a_device_nothing_of_one_is_counted():
    rules = {"encoder": CounterRule(limit=1, per="device")}
    on_cpu = a_snapshot(nodes=(a_report(devices=0),))

    decision = decide(
        on_cpu, [a_candidate(a_class(vram_mib=1000, counters={"encoder": 1}), waiting=2)], limits(rules)
    )

    assert held_of(decision) == [{}, {}]


def test_jobs_of_a_task_are_counted_whether_their_lines_say_so_or_not():
    """«Render two at once» is a setting: it holds for what was dispatched before it, too."""
    rules = {"renders": CounterRule(limit=2, tasks=("studio.render",))}
    render = a_class("cpu", id="render", task="studio.render", cpu=1)
    preview = a_class("cpu", id="preview", task="studio.preview", cpu=1)

    decision = decide(a_snapshot(), [a_candidate(c, waiting=5) for c in (render, preview)], limits(rules))

    assert sorted(map(len, held_of(decision))) == [0, 0, 0, 0, 0, 1, 1]


def test_one_that_is_not_configured_or_never_enough_is_never_waited_for():
    unknown, too_many = (
        a_class("cpu", id="a", counters={"maya": 1}),
        a_class("cpu", id="b", counters={"nuke": 4}),
    )

    holds = decide(a_snapshot(), [a_candidate(unknown), a_candidate(too_many)], limits()).hold

    assert [h.is_infeasible for h in holds] == [True, True]
    assert "there is no [counters.maya] in conductor.toml" in sentence(holds[0], NOW, 1.0)
    assert "needs 4 of nuke, its limit is 3" in sentence(holds[1], NOW, 1.0)


# ── what others hold ──────────────────────────────────────────────────────────────────────────────────────


def told(reading: CounterReading | None, **rule: Any) -> Decision:
    rules = {"nuke": CounterRule(limit=3, has_command=True, stale_after_s=60.0, **rule)}
    snapshot = a_snapshot(counters={} if reading is None else {"nuke": reading})
    return decide(snapshot, [a_candidate(a_class("cpu", counters={"nuke": 1}), waiting=9)], limits(rules))


def test_what_others_hold_is_not_given_out():
    decision = told(CounterReading(others=2, age_s=30.0))

    assert len(decision.admit) == 1
    assert decision.admit[0].ceilings[":nuke"] == 1
    assert "nuke: 3 of 3 held by class-a-, 2 outside Conductor" in sentence(decision.hold[0], NOW, 1.0)


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (None, "none is given out until its command answers"),
        (CounterReading(fault="exit 1: no such server"), "its command tells nothing: exit 1: no such server"),
        (
            CounterReading(others=0, age_s=61.0, fault="took longer than 10 s"),
            "the last answer is 1 min 01 s old",
        ),
    ],
)
def test_where_nobody_knows_it_is_closed_or_open_as_configured(reading: CounterReading | None, why: str):
    closed = told(reading)

    assert not closed.admit and why in sentence(closed.hold[0], NOW, 1.0)
    assert not closed.hold[0].is_infeasible, "it may answer again"
    assert len(told(reading, on_stale="open").admit) == 3


def test_a_node_tells_what_others_hold_there():
    rules = {"seat": CounterRule(limit=3, per="node", has_command=True)}
    nodes = (a_report("node1", counters={"seat": CounterReading(others=2)}), a_report("node2"))
    crowd = [a_candidate(a_class("cpu", counters={"seat": 1}), waiting=9)]

    assert held_of(decide(a_snapshot(nodes=nodes), crowd, limits(rules))) == [{"node1:seat": 1}]


# ── fair to who waits long, and to who remembers ──────────────────────────────────────────────────────────


def test_for_who_was_passed_over_too_long_the_next_ones_are_kept():
    """It needs all three; those that need one would take each that comes back, for ever."""
    whole = a_class("cpu", id="whole", counters={"nuke": 3})
    small = a_class("cpu", id="small", counters={"nuke": 1}, priority=5)
    crowd = [a_candidate(whole), a_candidate(small, waiting=9)]
    one_held = a_snapshot(
        reservations=(a_reservation(held={":nuke": 1}),), passed_over={"whole-00000000": NOW - 400}
    )

    kept = decide(one_held, crowd, limits(keep_after_s=300.0))
    not_yet = decide(one_held, crowd, limits(keep_after_s=500.0))

    assert not kept.admit and len(not_yet.admit) == 2
    held_back = next(h for h in kept.hold if h.class_id == "small")
    assert any(v.gate == "hold" and v.holders == ("whole-00000000",) for v in held_back.closed)


def test_a_conductor_that_remembers_decides_what_the_snapshot_says():
    keeping, crowd = (
        Keeping(),
        [a_candidate(a_class("cpu", cpu=1, counters={"nuke": 1, "seat": 1}), waiting=9)],
    )
    rules = limits(NUKE | {"seat": CounterRule(limit=1, per="node")})
    running: tuple[Any, ...] = ()
    for step in range(4):
        snapshot: Snapshot = a_snapshot(
            now=NOW + step, nodes=(a_report("node1"), a_report("node2")), reservations=running
        )
        decision = keeping.decide(snapshot, crowd, rules)
        assert decision == decide(snapshot, crowd, rules)
        running = (*running[1:], *[a.reservation for a in decision.admit])
    assert running


def test_who_takes_it_over_is_named_before_the_end():
    """The end of one render is the start of the next: no tick lies in between."""
    running = a_reservation(queue="cpu-node1", lane="cpu", held={":nuke": 3}, cpu=1.0, expected_s=60.0)
    crowd = [a_candidate(a_class("cpu", cpu=1, counters={"nuke": 2}))]

    (successor,) = decide(a_snapshot(reservations=(running,)), crowd, limits()).successors

    assert successor.predecessor == running.job_id
    assert successor.admission.reservation.held == {":nuke": 2} and successor.admission.ceilings[":nuke"] == 3


def test_nobody_takes_over_what_one_before_it_waits_for_elsewhere():
    """The first in line waits for the licence in another lane; the second would get it where that is given
    back.
    """
    running = a_reservation(queue="cpu-node1", lane="cpu", held={":nuke": 3}, cpu=1.0, expected_s=60.0)
    first = a_class("io", id="first", counters={"nuke": 3}, priority=5)
    second = a_class("cpu", id="second", cpu=1, counters={"nuke": 1})
    nodes = (a_report("node1"), a_report("node2"))

    assert not decide(
        a_snapshot(nodes=nodes, reservations=(running,)), [a_candidate(first), a_candidate(second)], limits()
    ).successors
