"""Each alert rule on one look that it calls wrong, and on a healthy one that it does not."""

from __future__ import annotations

from typing import Any

import pytest
from builders import GIB, NOW, a_rate, a_report, a_reservation, a_volume
from msgspec.structs import replace

from conductor.core.alerts.observations import Observations
from conductor.core.alerts.rules import RULES, found, runbook_of
from conductor.model.alerts import ALERT_RULES, AlertThresholds
from conductor.model.decision import GateLedger, Hold, Verdict
from conductor.model.pilot import EngineState
from conductor.model.reason import Reason
from conductor.model.report import QueueReport
from conductor.model.snapshot import Controls, KindState

LIMITS = AlertThresholds()
HELD = Hold(
    class_id="c", backlog="night", task="media.cut", lane="gpu", waiting=41, verdicts=(), head="job-first"
)
HEALTHY = Observations(
    now=NOW,
    leader="conductor-1",
    heard_at=NOW - 0.5,
    counts={"waiting": 41, "running": 1, "done": 7},
    nodes=(a_report(),),
    seen={"node1": NOW - 1},
    gates=GateLedger(at=NOW - 1, holds=(HELD,), rates=(a_rate(usd_left=9.0, usd_limit=10.0),)),
    active=(a_reservation(),),
    heads={"job-first": NOW - 100},
)
NOBODY = {"leader": None, "heard_at": NOW - 90}


def gates(**changes: Any) -> GateLedger:
    return replace(HEALTHY.gates, **changes)


def held(reason: Reason, **changes: Any) -> GateLedger:
    verdict = Verdict(gate="hold", passed=False, reason=reason, **changes)
    return gates(holds=(replace(HELD, verdicts=(verdict,)),))


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "redis-gone": (
        {"redis_lost_since": NOW - 45, "redis_fault": "unix:///x does not answer"},
        "",
        "45 s: unix:///x does not answer",
    ),
    "conductor-gone": (NOBODY, "", "led until 1 min 30 s ago and did not give the lead back"),
    "no-leader": ({**NOBODY, "resigned_at": NOW - 90}, "", "42 jobs to do, and no conductor leads"),
    "node-gone": (
        {"nodes": (a_report("node2"),), "active": (a_reservation(),), "seen": {"node1": NOW - 75}},
        "node1",
        "node node1 has not reported for 1 min 15 s; it had 1 job in hand",
    ),
    "worker-gone": (
        {"nodes": (a_report(queues=(QueueReport(queue="cpu-node1", lane="cpu", dying="exit 3"),)),)},
        "node1/cpu-node1",
        "no working worker for cpu-node1: exit 3",
    ),
    "engine-lost": (
        {"schedulers": (EngineState(name="lab", away_since=NOW - 75, words="timed out"),)},
        "lab",
        "engine lab has not answered for 1 min 15 s: timed out",
    ),
    "pilots-dying": (
        {"schedulers": (EngineState(name="lab", young=3), EngineState(name="ray", young=2))},
        "lab",
        "the last 3 pilots of lab were refused, or ended at once",
    ),
    "nas-gone": (
        {"nodes": (a_report(volumes=(a_volume("nas", fault="not mounted: marker .m is missing"),)),)},
        "node1/nas",
        "the root nas (/disks/nas) cannot be used on node1: not mounted: marker .m is missing",
    ),
    "scratch-low": (
        {"nodes": (a_report(volumes=(a_volume(free_bytes=1 * GIB, opens_at_bytes=9 * GIB),)),)},
        "node1/scratch",
        "1.0 GiB are left on the root scratch of node1; nothing new writes there until 9.0 GiB are free",
    ),
    "nothing-admitted": ({"active": ()}, "", "41 jobs wait and nothing runs; media.cut: every gate is open"),
    "failures": (
        {"failed": {"timeout": 15, "cuda_oom": 6}},
        "",
        "21 attempts failed within an hour (timeout 15, cuda_oom 6), more than 20",
    ),
    "breaker-open": (
        {"kinds": (KindState(kind="media.cut", failed=5, opened_at=NOW, cause="timeout", message="slow"),)},
        "media.cut",
        "5 of media.cut failed alike: timeout: slow",
    ),
    "review-debt": ({"in_review": {"night": 21}}, "", "21 jobs in review (night 21), more than 20"),
    "running-long": (
        {
            "active": (a_reservation(started_at=NOW - 50_000),),
            "subjects": {"job-00000001": "media.cut · a.mp4"},
        },
        "media.cut",
        "1 job of media.cut runs longer than 12 h 00 min; media.cut · a.mp4 (job-0000) for 13 h 53 min",
    ),
    "waiting-long": (
        {"heads": {"job-first": NOW - 90_000}},
        "media.cut",
        "media.cut (job-firs) has waited 25 h 00 min: every gate is open to it",
    ),
    "budget-near": (
        {"gates": gates(rates=(a_rate(usd_left=1.5, usd_limit=10.0),))},
        "api",
        "1.50 of 10.00 USD are left for api today",
    ),
    "budget-over": (
        {"gates": gates(rates=(a_rate(usd_left=0.0, usd_limit=10.0),))},
        "api",
        "the 10.00 USD of a day for api are spent",
    ),
    "receipts-mismatch": (
        {"receipt_faults": ("w1.jsonl:3 is cut", "b", "c", "d")},
        "",
        "receipts do not match: w1.jsonl:3 is cut; b; c; and 1 more",
    ),
    "schedule-skipped": ({"skipped": {"nightly": 2}}, "nightly", "nightly was skipped 2 times"),
    "fallback-spike": (
        {"fallbacks": {"vision.analyse": 6}},
        "vision.analyse",
        "ran on another engine than was meant",
    ),
    "engine-fallback": (
        {"engines": {"toon.segment": (2, 10), "toon.other": (1, 10)}},
        "toon.segment",
        "2 of 10 jobs of toon.segment within an hour were made by a less preferred engine, more than 10%",
    ),
}


def test_every_rule_has_its_row_here_and_in_the_table() -> None:
    assert set(BAD) == set(RULES) == set(ALERT_RULES)


def test_nothing_is_wrong_with_a_healthy_look() -> None:
    assert {name: those for name, those in found(HEALTHY, LIMITS).items() if those} == {}


@pytest.mark.parametrize("name", BAD)
def test_a_rule_finds_what_it_is_for_and_no_other_does(name: Any) -> None:
    changes, subject, words = BAD[name]
    (finding,) = found(replace(HEALTHY, **changes), LIMITS).pop(name)
    assert (finding.subject, words in finding.words) == (subject, True), finding.words
    assert all(type(figure) in (int, float) for figure in finding.figures.values())
    others = found(replace(HEALTHY, **changes), LIMITS)
    assert {other: those for other, those in others.items() if those and other != name} == {}
    assert RULES[name].over.format("it") and runbook_of(name).endswith(".md")


@pytest.mark.parametrize("name", BAD)
def test_a_rule_that_is_switched_off_finds_nothing(name: str) -> None:
    assert name not in found(replace(HEALTHY, **BAD[name][0]), LIMITS, off=(name,))


@pytest.mark.parametrize(
    "changes",
    [
        {"controls": Controls(is_draining=True)},
        {"gates": held(Reason.LANE_PAUSED)},
        {"gates": held(Reason.LANE_OUTSIDE_HOURS)},
        {"gates": held(Reason.MONEY_SPENT)},
        {"leader": None},
    ],
)
def test_who_waits_for_what_somebody_wanted_is_not_stuck(changes: dict[str, Any]) -> None:
    assert not found(replace(HEALTHY, active=(), **changes), LIMITS)["nothing-admitted"]


def test_who_waits_for_room_that_nobody_of_ours_holds_is_stuck_and_the_gate_is_named() -> None:
    verdict = Verdict(
        gate="vram", passed=False, reason=Reason.NO_ROOM, where="node1/gpu0", need=9, have=4, unit="MiB"
    )
    seen = replace(HEALTHY, active=(), gates=gates(holds=(replace(HELD, verdicts=(verdict,)),)))
    (finding,) = found(seen, LIMITS)["nothing-admitted"]
    assert "vram needs 9.0 MiB, node1/gpu0 has 4.0 MiB free" in finding.words


def test_a_project_that_was_put_away_raises_nothing() -> None:
    put_away = Observations(now=NOW, heard_at=NOW - 9000, resigned_at=NOW - 9000, counts={"done": 9})
    assert not any(found(put_away, LIMITS).values())


def test_a_leader_that_holds_the_lead_and_does_not_tick_is_gone() -> None:
    (finding,) = found(replace(HEALTHY, gates=gates(at=NOW - 200)), LIMITS)["conductor-gone"]
    assert "conductor-1 holds the lead and has recorded no tick for 3 min 20 s" in finding.words


def test_without_redis_nothing_else_is_said() -> None:
    lost = Observations(now=NOW, redis_lost_since=NOW - 31, redis_fault="gone")
    assert list(found(lost, LIMITS)) == ["redis-gone"]
    assert not found(lost, LIMITS, off=("redis-gone",))


def test_a_node_that_drains_needs_no_workers() -> None:
    assert not found(replace(HEALTHY, nodes=(a_report(workers=0, is_draining=True),)), LIMITS)["worker-gone"]


def test_time_that_a_body_stood_still_does_not_count() -> None:
    frozen = a_reservation(started_at=NOW - 50_000, frozen_s=40_000)
    assert not found(replace(HEALTHY, active=(frozen,)), LIMITS)["running-long"]
