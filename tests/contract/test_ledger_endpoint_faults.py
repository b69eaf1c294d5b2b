"""Endpoints that are not well: who waits, until when, and what is taken back, on Redis and on the
in-memory twin.
"""

from __future__ import annotations

import msgspec
import pytest
from ledger_scenes import LedgerScene, a_class, a_reservation, an_entry, an_id

from conductor.core.rates.endpoint_breaker import FAULTS, asks_one_first
from conductor.model.calls import Call, CallOutcome, EndpointFault, Trouble
from conductor.model.decision import Admission
from conductor.model.snapshot import Lookahead
from conductor.model.spec import Needs, RateNeed

NEEDS = Needs(rates={"api": RateNeed(), "other": RateNeed()})
CALLS = msgspec.structs.replace(a_class("calls"), needs=NEEDS)


def tell(
    scene: LedgerScene,
    trouble: Trouble | None,
    name: str = "a",
    outcome: CallOutcome = "failed",
    **more: object,
) -> None:
    call = Call(
        key="api",
        outcome=outcome,
        job_id=an_id(name),
        attempt=1,
        trouble=trouble,
        words=f"{trouble}!",
        **more,
    )  # type: ignore[arg-type]
    scene.ledger.calls.tell_calls((call,))
    scene.check()


def endpoint_fault(scene: LedgerScene) -> EndpointFault | None:
    return scene.ledger.calls.endpoint_faults().get("api")


def closed_s(scene: LedgerScene) -> float:
    """Seconds from when its trouble was last told of until its gate opens, however long this look takes."""
    until, known = scene.ledger.calls.closings().get("api"), endpoint_fault(scene)
    return 0.0 if until is None else until - (known.last_at if known is not None else scene.ledger.bell.now())


@pytest.mark.parametrize(("trouble", "first_s"), [("busy", 5), ("down", 5), ("refuses", 60)])
def test_an_endpoint_that_is_not_well_is_closed_for_longer_and_longer(
    scene: LedgerScene, trouble: Trouble, first_s: float
) -> None:
    for times in (1, 2, 3):
        tell(scene, trouble)
        known = endpoint_fault(scene)
        assert known is not None and (known.trouble, known.words, known.times) == (
            trouble,
            f"{trouble}!",
            times,
        )
        assert asks_one_first(known)
        assert closed_s(scene) == pytest.approx(first_s * 2 ** (times - 1), abs=1)
    for _ in range(12):
        tell(scene, trouble)
    assert closed_s(scene) == pytest.approx(1800 if trouble == "refuses" else 300, abs=1)


def test_what_the_server_says_stands_over_the_table(scene: LedgerScene) -> None:
    tell(scene, "busy", closes_for_s=12.0)
    assert closed_s(scene) == pytest.approx(12, abs=1)


def test_calls_that_were_under_way_when_it_failed_count_once(scene: LedgerScene) -> None:
    tell(scene, "down", "a")
    scene.let(0.02)
    for name in ("b", "c", "d"):
        tell(scene, "down", name, took_s=5.0)
    known = endpoint_fault(scene)
    assert known is not None and (known.times, known.is_shared) == (1, True)
    assert closed_s(scene) == pytest.approx(5, abs=1)


def test_an_answer_to_a_call_that_was_sent_later_ends_it_and_to_an_earlier_one_does_not(
    scene: LedgerScene,
) -> None:
    tell(scene, "busy", closes_for_s=30.0)
    scene.let(0.02)
    tell(scene, None, "b", "ok", took_s=5.0)
    tell(scene, None, "b", "uncalled")
    assert endpoint_fault(scene) is not None
    # It answered, whatever it said of that request.
    tell(scene, None, "b", "failed")
    assert endpoint_fault(scene) is None
    assert closed_s(scene) == pytest.approx(30, abs=1), "the server's own time stands"


def test_faults_are_their_jobs_until_several_in_a_row_meet_them(scene: LedgerScene) -> None:
    for _ in range(FAULTS + 2):
        tell(scene, "faulty", "a")
    known = endpoint_fault(scene)
    assert known is not None and not asks_one_first(known) and closed_s(scene) == 0
    tell(scene, "faulty", "b")
    known = endpoint_fault(scene)
    assert known is not None and asks_one_first(known) and closed_s(scene) > 0


def test_a_429_asks_one_first_only_where_waiting_is_in_vain(scene: LedgerScene) -> None:
    tell(scene, "limited", outcome="refused", closes_for_s=2.0)
    first = endpoint_fault(scene)
    for name in "bcd":
        tell(scene, "limited", name, "refused", closes_for_s=2.0)
    last = endpoint_fault(scene)
    assert first is not None and not asks_one_first(first)
    assert last is not None and asks_one_first(last)
    assert scene.ledger.calls.refusals() == {"api": 4}
    tell(scene, None, "e", "ok", took_s=60.0)
    assert not asks_one_first(endpoint_fault(scene) or last), "something was left of its budget meanwhile"


def hand_over(scene: LedgerScene, *names: str, class_id: str) -> None:
    held = [a_reservation(name, class_id=class_id) for name in names]
    answers = scene.ledger.handover.admit(
        scene.epoch, [Admission(reservation=each, backlog="night") for each in held]
    )
    assert answers == (None,) * len(names)


def test_what_was_handed_over_and_would_call_it_goes_back_at_no_cost(scene: LedgerScene) -> None:
    plain = a_class("plain")
    scene.put(an_entry("a", CALLS), an_entry("b", CALLS), an_entry("c", plain))
    hand_over(scene, "a", "b", class_id=CALLS.id)
    hand_over(scene, "c", class_id=plain.id)

    tell(scene, "limited", "x", "refused", closes_for_s=9.0)
    assert scene.ledger.tallies.counts()["admitted"] == 3, "a 429 is the budget's matter"
    tell(scene, "down", "x")

    assert {name: scene.ledger.jobs.job(an_id(name)).state for name in "abc"} == {  # type: ignore[union-attr]
        "a": "waiting", "b": "waiting", "c": "admitted"}  # fmt: skip
    assert scene.ledger.jobs.job(an_id("a")).failures == {}  # type: ignore[union-attr]
    back = {(c.job_id, c.key) for c in scene.ledger.calls.calls() if c.outcome == "uncalled"}
    assert back == {(an_id(name), key) for name in "ab" for key in ("api", "other")}
    scene.check()


def test_the_operators_word_opens_it_at_once_with_one_that_asks_first(scene: LedgerScene) -> None:
    assert not scene.ledger.calls.open_rate("api")
    for _ in range(4):
        tell(scene, "refuses")
    scene.ledger.bell.wait(0.001)
    assert scene.ledger.calls.open_rate("api")
    known = endpoint_fault(scene)
    assert closed_s(scene) == 0 and known is not None and asks_one_first(known)
    assert scene.ledger.bell.wait(0.001)
    tell(scene, "refuses")
    assert closed_s(scene) == pytest.approx(120, abs=1), "its waits begin anew"


def test_the_operators_word_lets_go_at_once_who_has_asked_it_in_vain(scene: LedgerScene) -> None:
    later, plain = scene.ledger.bell.now() + 300, a_class("plain")
    scene.put(an_entry("a", CALLS, not_before=later), an_entry("b", plain, not_before=later))
    tell(scene, "down")
    assert scene.ledger.calls.open_rate("api")

    assert scene.view("a").not_before is None, "it was to wait for the gate"
    assert scene.view("b").not_before == pytest.approx(later, abs=0.01)
    heads = [each.job_class.id for each in scene.ledger.waiting.candidates(Lookahead(heads=1))]
    assert heads == [CALLS.id]
    scene.check()
