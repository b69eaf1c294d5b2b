"""The gate ledger from tick to tick: since when each gate is closed, and what it has cost."""

from __future__ import annotations

import pytest
from builders import GIB, NOW, a_candidate, a_class, a_rate, a_report, a_reservation, a_snapshot, a_volume

from conductor.core.admission.admission import decide
from conductor.core.admission.gate_ledger import (
    LONGEST_GAP_S,
    carried,
    lost_by_backlog,
    rates_left,
    shared_out,
)
from conductor.model.decision import Gate, GateLedger, Hold, Verdict
from conductor.model.limits import Limits
from conductor.model.reason import Reason


def a_hold(*gates: Gate, class_id: str = "c", backlog: str = "b", at: float = 0.0) -> Hold:
    verdicts = tuple(Verdict(gate=gate, passed=False, reason=Reason.NO_ROOM) for gate in gates)
    return Hold(
        class_id=class_id, backlog=backlog, task="t", lane="cpu", waiting=1, verdicts=verdicts, since=NOW + at
    )


def play(*ticks: tuple[float, tuple[Hold, ...]], start: GateLedger | None = None) -> GateLedger:
    gates = start or GateLedger()
    for at, holds in ticks:
        now = NOW + at
        gates = GateLedger(at=now, holds=carried(holds, gates, now), lost_s=lost_by_backlog(gates, now))
    return gates


def test_each_gate_counts_the_seconds_it_was_closed_and_keeps_the_moment_it_began() -> None:
    gates = play(
        (0, (a_hold("cpu"),)),
        (2, (a_hold("cpu", "vram", at=2),)),
        (5, (a_hold("vram", at=5),)),
        (6, (a_hold("vram"),)),
    )

    (hold,) = gates.holds
    assert hold.lost_s == {"cpu": 5.0, "vram": 4.0}
    assert hold.closed_since == {"vram": NOW + 2}
    assert hold.since == NOW + 5
    assert gates.lost_s == {"b": {"cpu": 5.0, "vram": 4.0}}


def test_a_gate_that_holds_many_classes_of_a_backlog_counts_once_for_it() -> None:
    holds = (a_hold("cpu"), a_hold("cpu", class_id="d"), a_hold("cpu", class_id="e", backlog="other"))

    assert play((0, holds), (3, ()), (9, ())).lost_s == {"b": {"cpu": 3.0}, "other": {"cpu": 3.0}}


def test_what_was_counted_goes_on_under_another_leader() -> None:
    """It has only what was recorded, and the gap until it leads."""
    recorded = play((0, (a_hold("cpu"),)), (30, (a_hold("cpu"),)))

    after = play((34, (a_hold("cpu", at=34),)), start=recorded)

    assert (after.holds[0].lost_s, after.holds[0].since) == ({"cpu": 34.0}, NOW)


def test_a_gap_that_nobody_watched_was_lost_to_no_gate() -> None:
    gates = play((0, (a_hold("cpu"),)), (LONGEST_GAP_S + 1, (a_hold("cpu"),)))

    assert (gates.holds[0].lost_s, gates.lost_s) == ({}, {"b": {}})
    assert gates.holds[0].closed_since == {"cpu": NOW}


def test_what_is_shared_out_is_recorded_with_what_the_tick_handed_over() -> None:
    node = a_report(volumes=(a_volume(free_bytes=60 * GIB),), ram_total_mib=None, ram_available_mib=None)
    snapshot = a_snapshot(nodes=(node,), reservations=(a_reservation(vram_mib=4096, cpu=2),))
    decision = decide(snapshot, [a_candidate(a_class(vram_mib=8192, cpu=1.5))], Limits())

    shared = {s.where + ":" + s.gate: s for s in shared_out(snapshot, decision.admit, Limits())}

    assert set(shared) == {"node1/gpu0:vram", "node1/scratch:scratch", "node1:cpu"}
    gpu = shared["node1/gpu0:vram"]
    assert (gpu.limit, gpu.reserved, gpu.free) == (24064, 12288, 11776)
    assert (shared["node1:cpu"].reserved, shared["node1:cpu"].free) == (3.5, 12.5)
    assert shared["node1/scratch:scratch"].others == 40 * GIB


def test_the_budgets_are_recorded_less_what_the_tick_handed_over() -> None:
    rates = (a_rate(requests_left=5, requests_limit=30, tokens_left=100, tokens_limit=100), a_rate("other"))
    job_class = a_class("cloud", rates={"api": (2, 40)})
    admitted = decide(a_snapshot(nodes=(a_report(),), rates=rates), [a_candidate(job_class)], Limits()).admit

    api, other = rates_left(rates, admitted)

    assert (api.requests_left, api.tokens_left) == (3, 60)
    assert (other.requests_left, other.tokens_left) == (None, None)


def test_money_is_recorded_less_what_the_tick_handed_over() -> None:
    rates = (
        a_rate(usd_left=1.0, usd_limit=2.0, usd_per_token=0.01),
        a_rate("other", usd_left=0.5, usd_limit=2.0),
    )
    job_class = a_class("cloud", rates={"api": (1, 30)})
    admitted = decide(a_snapshot(nodes=(a_report(),), rates=rates), [a_candidate(job_class)], Limits()).admit

    api, other = rates_left(rates, admitted)

    assert (api.usd_left, other.usd_left) == (pytest.approx(0.7), 0.5)
