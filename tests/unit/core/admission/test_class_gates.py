"""The gates that look at no place: budgets of APIs, the operator's word, whether anybody reports at all."""

from __future__ import annotations

import pytest
from asked import LIMITS, admitted, held, only
from builders import (
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_snapshot,
)

from conductor.core.admission.admission import decide
from conductor.core.admission.earliest_start import is_refused
from conductor.core.admission.explain import sentence
from conductor.core.admission.sentences import words_of
from conductor.model.calls import EndpointFault
from conductor.model.reason import Reason
from conductor.model.report import QueueReport
from conductor.model.snapshot import Controls, Snapshot

# ── rate ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_429_closes_the_lane_until_it_says_and_other_lanes_go_on() -> None:
    snapshot = a_snapshot(rates=(a_rate(closed_until=NOW + 12),))
    cloud = a_candidate(a_class("cloud", id="c", rates={"api": (1, 0)}))
    decision = decide(snapshot, [cloud, a_candidate(a_class("cpu", id="d"))], LIMITS)

    assert [a.reservation.lane for a in decision.admit] == ["cpu"]
    assert (only(decision.hold[0], "rate").reopens_at, only(decision.hold[0], "rate").where) == (
        NOW + 12,
        "api",
    )


def test_an_endpoint_that_is_not_well_says_so_and_then_one_job_asks_first() -> None:
    calls = a_class("cloud", rates={"api": (1, 0)})
    down = EndpointFault(trouble="down", words="api did not answer: refused", since=NOW - 60, times=2)
    (closed,) = held(a_snapshot(rates=(a_rate(closed_until=NOW + 12, endpoint_fault=down),)), calls).closed
    assert (closed.reopens_at, words_of(closed), closed.reason) == (
        NOW + 12, "api did not answer: refused", Reason.ENDPOINT_UNAVAILABLE
    )  # fmt: skip

    open_now = a_snapshot(rates=(a_rate(closed_until=NOW, endpoint_fault=down),))
    decision = decide(open_now, [a_candidate(calls, waiting=5)], LIMITS)
    assert len(decision.admit) == 1, "one of five"
    (first,) = held(a_snapshot(rates=(a_rate(endpoint_fault=down, going=1),)), calls).closed
    assert words_of(first) == "one job asks first: api did not answer: refused"

    once = EndpointFault(trouble="limited", since=NOW, times=1)
    assert admitted(a_snapshot(rates=(a_rate(endpoint_fault=once, going=1),)), calls), (
        "a budget knows how many may"
    )


def test_an_endpoint_that_refuses_everybody_waits_for_a_person() -> None:
    calls = a_class("cloud", rates={"api": (1, 0)})
    refuses = EndpointFault(trouble="refuses", words="api has no credit (answer 402: pay)", since=NOW)
    hold = held(a_snapshot(rates=(a_rate(closed_until=NOW + 60, endpoint_fault=refuses),)), calls)
    assert is_refused(hold) and not hold.is_infeasible
    words = "api has no credit (answer 402: pay); put it right, then `conductor resume api`"
    then = "asked again in 1 min 00 s (api); report, hold, lane open"
    assert sentence(hold, NOW, 5.0) == f"waits for somebody to act: {words}, {then}"


def test_a_closing_that_ran_out_is_open() -> None:
    assert admitted(a_snapshot(rates=(a_rate(closed_until=NOW),)), a_class("cloud", rates={"api": (1, 0)}))


def test_a_budget_is_spent_within_the_tick_and_the_next_look_is_when_it_gives_room() -> None:
    rate = a_rate(requests_left=2, requests_limit=30, resets_at=NOW + 0.3)
    candidate = a_candidate(a_class("cloud", rates={"api": (1, 0)}), waiting=9)
    decision = decide(a_snapshot(rates=(rate,)), [candidate], LIMITS)

    assert [a.rates for a in decision.admit] == [{"api": (1, 0)}] * 2
    assert only(decision.hold[0], "rate").have == 0
    assert decision.next_tick_s == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize(
    ("left", "limit", "tokens", "is_learned", "expected"),
    [
        (1000, 1000, 1000, False, "admitted"),
        (999, 1000, 1000, False, "held"),
        (1000, 1000, 1001, False, "infeasible"),
        (1000, 1000, 1001, True, "admitted"),  # a measurement makes nothing unschedulable
        (999, 1000, 1001, True, "held"),
    ],
)
def test_tokens_are_a_budget_too(left: int, limit: int, tokens: int, is_learned: bool, expected: str) -> None:
    rate = a_rate(tokens_left=left, tokens_limit=limit, is_learned=is_learned)
    decision = decide(
        a_snapshot(rates=(rate,)), [a_candidate(a_class("cloud", rates={"api": (1, tokens)}))], LIMITS
    )

    is_infeasible = any(hold.is_infeasible for hold in decision.hold)
    assert ("admitted" if decision.admit else "infeasible" if is_infeasible else "held") == expected


# ── hold, report: absence is a verdict ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("snapshot", "gate", "reason", "message"),
    [
        (a_snapshot(nodes=()), "report", Reason.NO_NODE, "no node reports"),
        (
            a_snapshot(nodes=(a_report(queues=()),)),
            "report",
            Reason.NO_WORKERS,
            "no node has workers of the gpu lane",
        ),
        (
            a_snapshot(nodes=(a_report(workers=0),)),
            "report",
            Reason.NO_WORKERS,
            "no node has workers of the gpu lane",
        ),
        (
            a_snapshot(controls=Controls(is_draining=True)),
            "hold",
            Reason.DRAINING,
            "draining: nothing new is started",
        ),
        (
            a_snapshot(controls=Controls(paused_lanes=("gpu",))),
            "hold",
            Reason.LANE_PAUSED,
            "the gpu lane is paused",
        ),
        (
            a_snapshot(controls=Controls(paused_devices=("node1/gpu0",))),
            "hold",
            Reason.DEVICE_PAUSED,
            "quarantined: by the operator, until `conductor resume node1/gpu0`",
        ),
        (a_snapshot(controls=Controls(draining_nodes=("node1",))), "hold", Reason.NODE_DRAINING, "draining"),
        (a_snapshot(nodes=(a_report(is_draining=True),)), "hold", Reason.NODE_DRAINING, "draining"),
        (
            a_snapshot(nodes=(a_report(devices=(a_device(quarantined="driver lost"),)),)),
            "hold",
            Reason.DEVICE_QUARANTINED,
            "quarantined: driver lost",
        ),
        (
            a_snapshot(
                nodes=(
                    a_report(
                        devices=0, queues=(QueueReport(queue="q", lane="gpu", device="gpu0", workers=1),)
                    ),
                )
            ),
            "hold",
            Reason.DEVICE_MISSING,
            "gpu0 is not visible",
        ),
    ],
)
def test_absence_is_a_closed_gate(snapshot: Snapshot, gate: str, reason: Reason, message: str) -> None:
    hold = held(snapshot, a_class())

    verdict = only(hold, gate)
    assert (verdict.reason, words_of(verdict)) == (reason, message)
    assert not hold.is_infeasible


def test_a_paused_backlog_holds_its_classes_and_no_others() -> None:
    snapshot = a_snapshot(controls=Controls(paused_backlogs=("night",)))
    hold = held(snapshot, a_class(backlog="night"))

    assert [(v.gate, v.reason, words_of(v)) for v in hold.closed] == [
        ("hold", Reason.BACKLOG_PAUSED, "the night backlog is paused, until `conductor resume backlog:night`")
    ]
    assert not decide(snapshot, [a_candidate(a_class(backlog="day"))], LIMITS).hold


def test_a_stale_report_is_no_report() -> None:
    hold = held(a_snapshot(nodes=(a_report(sent_at=NOW - 14),)), a_class())

    assert [(v.gate, v.reason, words_of(v)) for v in hold.closed] == [
        ("report", Reason.STALE_REPORT, "last report is 14 s old"),
        ("report", Reason.NO_FRESH_REPORT, "no fresh report"),
    ]


def test_workers_that_keep_dying_at_start_are_named_with_their_words_and_not_a_lane_without_workers() -> None:
    queue = QueueReport(queue="gpu-node1", lane="gpu", workers=0, dying="exit code 1: no such sword")
    verdict = only(held(a_snapshot(nodes=(a_report(queues=(queue,)),)), a_class()), "report")
    assert verdict.is_broken and verdict.where == "node1"
    assert words_of(verdict) == "workers of gpu-node1 keep dying at start: exit code 1: no such sword"


def test_a_stale_node_does_not_stop_a_fresh_one() -> None:
    snapshot = a_snapshot(nodes=(a_report("a", sent_at=NOW - 14), a_report("b")))

    assert decide(snapshot, [a_candidate(a_class())], LIMITS).admit[0].reservation.node == "b"
