"""Canaries, breakers and the state `review`, on Redis and on the in-memory twin."""

from __future__ import annotations

import msgspec
import pytest
from ledger_scenes import LedgerScene, a_class, a_receipt, a_reservation, an_entry, an_id

from conductor.base.errors import Fenced
from conductor.model.causes import Cause
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import KindState

KIND = "media.cut"
LATER = Retry(delay_s=3600.0)


def put(scene: LedgerScene, *names: str) -> None:
    scene.put(*(an_entry(name, a_class(kind=KIND)) for name in names))


def admit(
    scene: LedgerScene, name: str, attempt: int = 1, role: str = "", breaker: int = 3, code: str = "v1"
) -> str | None:
    held = a_reservation(name, attempt, kind=KIND, role=role, breaker=breaker, code=code)
    (answer,) = scene.ledger.handover.admit(scene.epoch, [Admission(reservation=held, backlog="night")])
    scene.check()
    return answer


def run(scene: LedgerScene, name: str, attempt: int = 1, **more: object) -> None:
    assert admit(scene, name, attempt, **more) is None  # type: ignore[arg-type]
    assert scene.take("cpu-node1", "w1") == (an_id(name), attempt)
    scene.start(name, attempt)


def fail(
    scene: LedgerScene, name: str, message: str = "KeyError: 'fps'", attempt: int = 1,
    cause: Cause = "task_error", then: Retry | Dead = LATER, code: str = "v1", raised_at: str = "",
) -> None:  # fmt: skip
    receipt = msgspec.structs.replace(a_receipt(name, attempt, "failed", cause), raised_at=raised_at)
    scene.ledger.attempts.fail(msgspec.structs.replace(receipt, message=message, code_version=code), then)
    scene.check()


def accept(scene: LedgerScene, name: str, attempt: int = 1, code: str = "v1") -> str:
    receipt = msgspec.structs.replace(a_receipt(name, attempt), code_version=code)
    answer = scene.ledger.attempts.accept(receipt)
    scene.check()
    return answer


def state(scene: LedgerScene, code: str = "v1") -> KindState | None:
    return next((s for s in scene.ledger.kinds.states()[0] if s.version == code), None)


def burn(scene: LedgerScene, *names: str) -> None:
    """Run and fail alike, one after the other."""
    for name in names:
        run(scene, name)
        fail(scene, name)


def test_a_kind_is_closed_by_exactly_the_nth_failure_alike_and_says_why(scene: LedgerScene):
    put(scene, "a", "b", "c")
    burn(scene, "a", "b")
    before = state(scene)
    assert before is not None
    assert (before.failed, before.opened_at, before.cause) == (2, None, "task_error")
    run(scene, "c")
    fail(scene, "c", "KeyError: 'width'")
    after = state(scene)
    assert after is not None
    assert (after.kind, after.version, after.failed, after.message) == (KIND, "v1", 3, "KeyError: 'width'")
    assert after.opened_at is not None
    assert after.since <= after.opened_at == after.last_at


def test_free_words_do_not_keep_failures_of_one_line_apart(scene: LedgerScene):
    names = ("a", "b", "c", "d")
    put(scene, *names)
    for name, title in zip(names, ("Casablanca", "Vertigo", "Alien", "Heat"), strict=True):
        if admit(scene, name) is not None:
            break
        assert scene.take("cpu-node1", "w1") == (an_id(name), 1)
        scene.start(name, 1)
        fail(scene, name, f"no audio stream in {title}", cause="bad_input", raised_at="BadInput at cut.py:17")

    closed = state(scene)
    assert closed is not None and closed.opened_at is not None
    assert (name, closed.failed, closed.message) == ("d", 3, "no audio stream in Alien")


def test_a_success_in_between_begins_the_count_anew(scene: LedgerScene):
    put(scene, "a", "b", "c", "d", "e")
    burn(scene, "a", "b")
    run(scene, "c")
    assert accept(scene, "c") == "accepted"
    assert state(scene) is None, "nothing is left to remember of a kind that does well"
    burn(scene, "d", "e")
    found = state(scene)
    assert found is not None
    assert (found.failed, found.opened_at) == (2, None)


def test_only_failures_alike_are_counted_together_and_only_those_that_say_something(scene: LedgerScene):
    put(scene, "a", "b", "c", "d")
    for name, message, cause, then in (
        ("a", "KeyError: 'fps'", "task_error", LATER),
        ("b", "clip 17 is too short", "task_error", LATER),
        ("c", "the worker was lost", "worker_lost", LATER),
        ("d", "429", "rate_limited", LATER),
    ):
        run(scene, name)
        fail(scene, name, message, cause=cause, then=then)  # type: ignore[arg-type]
    found = state(scene)
    assert found is not None
    assert (found.failed, found.opened_at) == (1, None)


def test_an_out_of_memory_counts_when_the_job_is_given_up_for_it(scene: LedgerScene):
    put(scene, "a", "b")
    run(scene, "a", breaker=1)
    fail(scene, "a", "out of memory", cause="cuda_oom", then=LATER)
    assert state(scene) is None
    run(scene, "b", breaker=1)
    fail(scene, "b", "out of memory", cause="cuda_oom", then=Dead())
    found = state(scene)
    assert found is not None
    assert found.opened_at is not None


def test_what_is_handed_over_and_not_started_goes_back_in_the_step_that_closes_its_kind(scene: LedgerScene):
    put(scene, "a", "b", "c")
    run(scene, "a", breaker=1)
    assert admit(scene, "b", breaker=1) is None
    assert admit(scene, "c", breaker=1) is None
    # In a worker's hand, and not begun.
    assert scene.take("cpu-node1", "w1") == (an_id("b"), 1)
    fail(scene, "a")
    assert (scene.state("b"), scene.state("c")) == ("waiting", "waiting")
    with pytest.raises(Fenced):
        scene.start("b")


def test_a_closed_kind_is_handed_over_to_nobody_but_its_probe(scene: LedgerScene):
    put(scene, "a", "b", "c")
    run(scene, "a", breaker=1)
    fail(scene, "a")
    assert admit(scene, "b") == f"its kind was closed: {KIND}"
    assert admit(scene, "b", code="v2") is None, "it is other code"
    assert admit(scene, "c", role="probe") is None


def test_a_probe_that_fails_is_counted_and_one_that_ends_well_opens_its_kind_again(scene: LedgerScene):
    put(scene, "a", "b", "c")
    run(scene, "a", breaker=1)
    fail(scene, "a")
    run(scene, "b", role="probe")
    fail(scene, "b", "something else")
    found = state(scene)
    assert found is not None
    assert (found.probes, found.failed) == (1, 1)
    assert found.opened_at is not None
    run(scene, "c", role="probe")
    accept(scene, "c")
    found = state(scene)
    assert found is not None
    assert (found.opened_at, found.probes, found.failed, found.verified) == (None, 0, 0, 1)


def test_a_probe_of_new_code_that_fails_keeps_it_closed_and_one_that_ends_well_clears_the_old(
    scene: LedgerScene,
):
    put(scene, "a", "b", "c")
    run(scene, "a", breaker=1)
    fail(scene, "a")
    run(scene, "b", role="probe", code="v2", breaker=5)
    fail(scene, "b", code="v2")
    found = state(scene, "v2")
    assert found is not None
    assert found.opened_at is not None
    run(scene, "c", role="probe", code="v3")
    accept(scene, "c", code="v3")
    assert [s.version for s in scene.ledger.kinds.states()[0]] == ["v3"]


def test_canaries_are_counted_once_they_are_verified_and_others_are_not(scene: LedgerScene):
    put(scene, "a", "b", "c")
    run(scene, "a", role="canary")
    accept(scene, "a")
    accept(scene, "a")
    run(scene, "b")
    accept(scene, "b")
    found = state(scene)
    assert found is not None
    assert found.verified == 1
    run(scene, "c")
    fail(scene, "c")
    found = state(scene)
    assert found is not None
    assert (found.verified, found.failed) == (1, 1), "a failure does not take back what was verified"


def test_the_operators_word_does_not_count_as_a_failure(scene: LedgerScene):
    put(scene, "a")
    run(scene, "a", breaker=1)
    assert scene.cancel("a") == "running"
    fail(scene, "a")
    assert scene.state("a") == "cancelled"
    assert state(scene) is None


def closed(scene: LedgerScene) -> None:
    """«a» failed and waits out a back-off; b1 to b3 wait; «z» comes after b1, «y» makes the best of z; x is
    of another kind."""
    put(scene, "a", "b1", "b2", "b3")
    scene.put(
        an_entry("z", a_class("other", kind="media.join"), after=(an_id("b1"),)),
        an_entry("y", a_class("other", kind="media.join"), after_ended=(an_id("z"),)),
        an_entry("x", a_class("other", kind="media.join")),
    )
    run(scene, "a", breaker=1)
    fail(scene, "a")


def review(scene: LedgerScene, most: int = 1000) -> int:
    moved = scene.ledger.kinds.review(scene.epoch, KIND, most)
    scene.check()
    return moved


def test_what_waits_of_a_kind_goes_into_review_with_what_comes_after_it_so_many_at_a_time(scene: LedgerScene):
    closed(scene)
    assert review(scene, 3) == 3
    assert not (state(scene) or KindState(kind="")).is_reviewed
    assert review(scene, 3) == 1
    assert (state(scene) or KindState(kind="")).is_reviewed
    assert {scene.state(name) for name in ("a", "b1", "b2", "b3", "z", "y")} == {"review"}
    assert scene.state("x") == "waiting"
    assert scene.ledger.kinds.in_review() == {KIND: 4, "media.join": 2}
    assert scene.ledger.kinds.in_review("another") == {}
    assert scene.ledger.kinds.states()[1] == {"night": 6}
    assert scene.heads() == ["x"]
    with pytest.raises(Fenced):
        scene.ledger.kinds.review(scene.epoch - 1, KIND, 1)


def test_retry_brings_back_from_review_with_what_went_there_for_its_sake(scene: LedgerScene):
    closed(scene)
    review(scene)
    assert not scene.retry("z"), "the job it comes after is to be retried"
    assert scene.retry("b1")
    assert {name: scene.state(name) for name in ("b1", "z", "y")} == dict.fromkeys(
        ("b1", "z", "y"), "waiting"
    )
    assert scene.view("z").waits_for == (an_id("b1"),)
    assert scene.state("b2") == "review"
    assert scene.retry("a")
    assert scene.view("a").failures == {}


def test_a_job_that_comes_after_one_in_review_goes_there_when_it_is_dispatched(scene: LedgerScene):
    closed(scene)
    review(scene)
    scene.put(an_entry("w", a_class("other"), after=(an_id("b2"),)))
    assert scene.state("w") == "review"
    assert scene.retry("b2")
    assert scene.state("w") == "waiting"


def test_a_receipt_of_a_job_in_review_still_counts_and_lets_the_next_one_go(scene: LedgerScene):
    closed(scene)
    review(scene)
    assert accept(scene, "b1") == "accepted"
    assert (scene.state("b1"), scene.state("z"), scene.state("y")) == ("done", "waiting", "waiting")
    assert scene.heads() == ["x", "z"] or scene.heads() == ["z", "x"]


def test_a_job_in_review_can_be_cancelled_and_takes_those_along_that_come_after_it(scene: LedgerScene):
    closed(scene)
    review(scene)
    assert scene.requeue("b2") == "review"
    assert scene.state("b2") == "review", "retry is the word for that"
    assert scene.cancel("b1") == "review"
    assert (scene.state("b1"), scene.state("z"), scene.state("y")) == ("cancelled", "dead", "waiting")
    assert scene.retry("b1")
    assert scene.state("z") == "waiting"


def test_the_operators_word_makes_the_next_try_due_at_once(scene: LedgerScene):
    closed(scene)
    review(scene)
    assert scene.ledger.kinds.resume("media.join") == 0
    assert scene.ledger.kinds.resume("media") == 0
    assert scene.ledger.kinds.resume(KIND) == 1
    found = state(scene)
    assert found is not None
    assert (found.probes, found.last_at, found.is_reviewed) == (0, 0.0, False)
    assert found.opened_at is not None


def test_a_task_name_means_all_its_kinds(scene: LedgerScene):
    for kind in ("media.cut:1", "media.cut:2"):
        name = kind[-1] * 3
        scene.put(an_entry(name, a_class(kind, kind=kind)))
        held = a_reservation(name, kind=kind, class_id=kind, breaker=1)
        assert scene.ledger.handover.admit(scene.epoch, [Admission(reservation=held, backlog="night")]) == (
            None,
        )
        scene.take("cpu-node1", "w1")
        scene.start(name)
        fail(scene, name)
    assert scene.ledger.kinds.resume("media.cut") == 2


def test_what_comes_after_two_in_review_comes_back_with_the_second(scene: LedgerScene):
    closed(scene)
    scene.put(an_entry("both", a_class("other"), after=(an_id("b1"),), after_ended=(an_id("b2"),)))
    review(scene)
    assert scene.retry("b1")
    assert (scene.state("both"), scene.state("z")) == ("review", "waiting")
    assert scene.retry("b2")
    assert scene.state("both") == "waiting"
