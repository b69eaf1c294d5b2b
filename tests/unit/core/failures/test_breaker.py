"""What a kind may start: canaries first, nothing while it is closed, one at a time to try."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.earliest_start import lacks_task
from conductor.core.admission.explain import describe
from conductor.model.decision import Decision
from conductor.model.limits import BreakerRule, Limits
from conductor.model.reason import Reason
from conductor.model.snapshot import KindState, Reservation

CLASS = a_class("cpu", kind="media.cut")
RULE = BreakerRule(failures=5, probes=3, first_s=60.0, longest_s=1800.0)
LIMITS = Limits(depth={"cpu": 100, "gpu": 2, "io": 2, "cloud": 5}, breaker=RULE)
CANARY = msgspec.structs.replace(LIMITS, canary={"media.cut": 3})


def a_state(**changes: Any) -> KindState:
    values: dict[str, Any] = {"kind": "media.cut", "version": "v1"}
    return KindState(**{**values, **changes})


def failing(failed: int = 5, **changes: Any) -> KindState:
    values: dict[str, Any] = {"failed": failed, "since": NOW - 30, "last_at": NOW - 10, "cause": "task_error"}
    return a_state(**{**values, "message": "KeyError: 'fps'", **changes})


def closed(**changes: Any) -> KindState:
    return failing(**{"opened_at": NOW - 10, **changes})


def going(n: int, **changes: Any) -> tuple[Reservation, ...]:
    values: dict[str, Any] = {
        "kind": "media.cut",
        "code": "v1",
        "lane": "cpu",
        "queue": "cpu-node1",
        **changes,
    }
    return tuple(a_reservation(f"{letter * 8}-0001", **values) for letter in "abcdefgh"[:n])


def decided(
    *states: KindState, limits: Limits = LIMITS, code: str = "v1", waiting: int = 12, **more: Any
) -> Decision:
    node = a_report(code={"media.cut": code})
    snapshot = a_snapshot(**{"nodes": (node,), "kinds": states, **more})
    return decide(snapshot, [a_candidate(CLASS, waiting=waiting)], limits)


def said(decision: Decision) -> str:
    (hold,) = decision.hold
    return "; ".join(describe(verdict, NOW) for verdict in hold.closed)


# ── canaries ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_that_no_node_has_is_held_with_words_and_not_where_one_has_it_or_does_not_say():
    unknown = a_class("cpu", task="media.fresh", kind="media.fresh")
    told = a_report(code={"media.cut": "v1"})
    hold = decide(a_snapshot(nodes=(told,)), [a_candidate(unknown)], Limits()).hold[0]
    (verdict,) = [v for v in hold.closed if v.reason is Reason.UNKNOWN_TASK]
    assert (verdict.gate, verdict.where, verdict.unit) == ("report", "node1", "tasks") and lacks_task(
        hold
    ) == "report"

    for other in (a_report("node2", code={"media.fresh": "v1"}), a_report("node2")):
        assert decide(a_snapshot(nodes=(told, other)), [a_candidate(unknown)], Limits()).admit


def test_a_task_that_the_conductor_has_not_read_is_held_though_a_node_has_it():
    fresh = [a_candidate(a_class("cpu", task="media.fresh", kind="media.fresh"))]
    quick = a_snapshot(nodes=(a_report(code={"media.fresh": "v1"}),))

    (hold,) = decide(quick, fresh, Limits(tasks=("media.cut",))).hold

    (verdict,) = [v for v in hold.closed if v.reason is Reason.UNREAD_TASK]
    assert describe(verdict, NOW).startswith("hold: the conductor has not read the task 'media.fresh' yet")
    assert lacks_task(hold) == "hold", "a run that ends when all is done gives it its time"
    assert not decide(a_snapshot(), fresh, Limits(tasks=("media.cut",))).admit, (
        "nor where no node tells its tasks"
    )
    read = Limits(tasks=("media.cut", "media.fresh"), canary={"media.fresh": 1})
    assert [a.reservation.role for a in decide(quick, fresh, read).admit] == ["canary"]


def test_without_a_canary_all_start_and_carry_what_their_end_is_counted_by():
    decision = decided()
    assert len(decision.admit) == 12
    held = decision.admit[0].reservation
    assert (held.kind, held.code, held.role, held.breaker) == ("media.cut", "v1", "", 5)


def test_the_first_few_of_a_kind_start_and_the_others_wait_for_them():
    decision = decided(limits=CANARY)
    assert [a.reservation.role for a in decision.admit] == ["canary"] * 3
    ids = ", ".join(f"{a.reservation.job_id[:8]}…" for a in decision.admit)
    assert said(decision) == f"hold: canary: 0 of 3 verified, 3 running ({ids})"
    assert decision.hold[0].waiting == 9


def test_as_many_start_as_are_neither_verified_nor_under_way():
    decision = decided(a_state(verified=1), limits=CANARY, reservations=going(1))
    assert len(decision.admit) == 1
    assert "canary: 1 of 3 verified, 2 running" in said(decision)


def test_once_verified_the_rest_is_released():
    assert len(decided(a_state(verified=3), limits=CANARY).admit) == 12
    assert decided(a_state(verified=3), limits=CANARY).admit[0].reservation.role == ""


def test_new_code_on_disk_is_a_new_kind():
    decision = decided(a_state(verified=3), limits=CANARY, code="v2")
    assert [a.reservation.code for a in decision.admit] == ["v2"] * 3


def test_two_hosts_with_different_code_have_their_canaries_each():
    nodes = tuple(
        a_report(name, code={"media.cut": code}) for name, code in (("node1", "v1"), ("node2", "v2"))
    )
    decision = decided(a_state(verified=3), limits=CANARY, nodes=nodes)
    by_node = [a.reservation.node for a in decision.admit]
    assert by_node.count("node2") <= 3
    assert by_node.count("node1") == 12 - by_node.count("node2")


def test_a_canary_that_failed_is_followed_by_another():
    decision = decided(failing(1), limits=CANARY, reservations=going(2))
    assert [a.reservation.role for a in decision.admit] == ["canary"]


# ── failures alike ────────────────────────────────────────────────────────────────────────────────────────


def test_no_more_start_than_may_still_fail():
    fresh = going(2, admitted_at=NOW - 5)
    decision = decided(failing(2), reservations=fresh)
    assert len(decision.admit) == 1
    assert "2 of media.cut failed alike: task_error: KeyError: 'fps'" in said(decision)


def test_what_was_under_way_before_the_first_failure_does_not_keep_others_from_starting():
    decision = decided(failing(1), reservations=going(8, admitted_at=NOW - 60))
    assert len(decision.admit) == 4


def test_a_closed_kind_waits_for_its_next_try_and_says_when_that_is():
    decision = decided(closed())
    assert decision.admit == ()
    assert said(decision) == (
        "hold: breaker open: 5 of media.cut failed alike: task_error: KeyError: 'fps'; next try in 50 s"
    )
    assert decision.hold[0].closed[0].reopens_at == NOW + 50


@pytest.mark.parametrize(("probes", "wait_s"), [(0, 60), (1, 120), (2, 240)])
def test_tries_come_ever_later(probes: int, wait_s: float):
    assert decided(closed(probes=probes, last_at=NOW - wait_s + 1)).admit == ()
    decision = decided(closed(probes=probes, last_at=NOW - wait_s - 1))
    assert [a.reservation.role for a in decision.admit] == ["probe"]
    assert "one of it is being tried" in said(decision)


def test_one_try_at_a_time():
    assert decided(closed(last_at=NOW - 9999), reservations=going(1, role="probe")).admit == ()


def test_new_code_is_tried_at_once_and_by_one_job():
    decision = decided(closed(), code="v2")
    assert [(a.reservation.role, a.reservation.code) for a in decision.admit] == [("probe", "v2")]
    assert decided(closed(probes=3), code="v2").review == ()


def test_what_failed_under_other_code_holds_nobody_back_that_has_a_record_of_its_own():
    assert len(decided(closed(), a_state(version="v2", verified=1), code="v2").admit) == 12


def test_after_the_last_try_the_rest_goes_into_review():
    decision = decided(closed(probes=3))
    assert (decision.admit, decision.review) == ((), ("media.cut",))
    assert "tried 3 times in vain" in said(decision)
    assert decided(closed(probes=2)).review == ()


def test_what_waits_out_a_back_off_is_set_aside_too_once():
    assert decided(closed(probes=3), waiting=0).review == ("media.cut",)
    assert decided(closed(probes=3, is_reviewed=True), waiting=0).review == ()
    assert decided(closed(probes=3, is_reviewed=True)).review == ("media.cut",), "what came later"


def test_what_comes_much_later_gets_a_try_of_its_own():
    decision = decided(closed(probes=3, is_reviewed=True, last_at=NOW - 1801))
    assert [a.reservation.role for a in decision.admit] == ["probe"]
    assert decision.review == ()


def test_other_kinds_go_on():
    other = a_candidate(a_class("cpu", kind="media.join", id="class-b", task="media.join"), waiting=2)
    node = a_report(code={"media.cut": "v1", "media.join": "v1"})
    decision = decide(
        a_snapshot(nodes=(node,), kinds=(closed(probes=3),)), [a_candidate(CLASS, waiting=2), other], LIMITS
    )
    assert [a.reservation.kind for a in decision.admit] == ["media.join"] * 2


def test_a_breaker_that_is_switched_off_closes_nothing():
    off = msgspec.structs.replace(LIMITS, breaker=BreakerRule(failures=0))
    decision = decided(failing(100), limits=off)
    assert len(decision.admit) == 12
    assert decision.review == ()


def test_a_node_that_does_not_say_what_it_has_goes_by_what_failed_last():
    decision = decided(closed(), nodes=(a_report(),))
    assert decision.admit == ()


def test_every_gate_is_named_beside_the_breaker():
    node = a_report(code={"media.cut": "v1"}, cpu_count=1.0)
    greedy = a_candidate(a_class("cpu", kind="media.cut", cpu=32), waiting=1)
    (hold,) = decide(a_snapshot(nodes=(node,), kinds=(closed(),)), [greedy], LIMITS).hold
    assert {verdict.gate for verdict in hold.closed} == {"hold", "cpu"}


def test_of_a_kind_that_fails_those_go_first_that_have_not_failed_yet():
    node = a_report(code={"media.cut": "v1"})
    candidate = a_candidate(CLASS, waiting=3)
    tried = msgspec.structs.replace(candidate.heads[0], attempts=1)
    candidate = msgspec.structs.replace(candidate, heads=(tried, *candidate.heads[1:]))
    ids = [head.job_id for head in candidate.heads]
    decision = decide(a_snapshot(nodes=(node,), kinds=(closed(last_at=NOW - 99),)), [candidate], LIMITS)
    assert [a.reservation.job_id for a in decision.admit] == [ids[1]], "the try is made with one that is new"
    decision = decide(a_snapshot(nodes=(node,)), [candidate], LIMITS)
    assert [a.reservation.job_id for a in decision.admit] == ids


# ── review debt ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_backlog_with_too_much_in_review_starts_nothing():
    owing = msgspec.structs.replace(LIMITS, review_debt=10)
    assert len(decided(limits=owing, in_review={"b": 10}).admit) == 12
    decision = decided(limits=owing, in_review={"b": 11})
    assert decision.admit == ()
    assert said(decision) == "hold: 11 jobs in review, more than 10 (breaker.review_debt)"
    assert len(decided(limits=owing, in_review={"another": 11}).admit) == 12


def test_by_default_nothing_is_owed():
    assert len(decided(in_review={"b": 100_000}).admit) == 12


def test_draining_sets_nothing_aside():
    from conductor.model.snapshot import Controls

    assert decided(closed(probes=3), controls=Controls(is_draining=True)).review == ()
