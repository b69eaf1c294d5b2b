"""Jobs that wait for a person's verdict, on Redis and on the in-memory twin."""

from __future__ import annotations

import msgspec
import pytest
from ledger_scenes import LedgerScene, a_class, a_receipt, a_reservation, an_entry, an_id

from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead
from conductor.model.ledger_entries import Begun, WorkerTurn
from conductor.model.receipt import Receipt
from conductor.model.review import ItemVerdict, OpenReview, ReviewAsked, ReviewItem
from conductor.model.snapshot import KindState

KIND = "media.cut"
ASKED = ReviewAsked(
    items=(ReviewItem(words="a goal?", picture="published:a.jpg", sure=0.6), ReviewItem(words="b"))
)
BODY = "1.0a1b2c3d"


def shown(name: str, attempt: int = 1, token: str = "0a1b2c3d", asked: ReviewAsked = ASKED) -> Receipt:
    return msgspec.structs.replace(a_receipt(name, attempt, "review"), message="", token=token, review=asked)


def word(item: int, is_accepted: bool = True, who: str = "ann", note: str = "") -> ItemVerdict:
    return ItemVerdict(item=item, is_accepted=is_accepted, who=who, at=1.5, note=note)


def yes(name: str, attempt: int = 1, token: str = "0a1b2c3d") -> Receipt:
    verdicts = (word(1), word(2))
    return msgspec.structs.replace(shown(name, attempt, token), outcome="ok", verdicts=verdicts)


def show(scene: LedgerScene, name: str, attempt: int = 1, **more: str) -> None:
    scene.run(name, attempt)
    assert scene.ledger.attempts.accept(shown(name, attempt, **more)) == "accepted"
    scene.check()


def say_yes(scene: LedgerScene, name: str, attempt: int = 1) -> str:
    answer = scene.ledger.attempts.accept(yes(name, attempt))
    scene.check()
    return answer


def reject(scene: LedgerScene, name: str, body: str = BODY) -> bool:
    answer = scene.ledger.reviews.reject(an_id(name), body, "rejected", "by ann: too dark")
    scene.check()
    return answer


@pytest.fixture
def chain(scene: LedgerScene) -> LedgerScene:
    """`b` comes after `a`, `c` after `b`, `e` after the end of `a`; what `a` made waits for a verdict."""
    scene.put(
        an_entry("a"), an_entry("b", after=(an_id("a"),)), an_entry("c", after=(an_id("b"),)),
        an_entry("e", after_ended=(an_id("a"),)),
    )  # fmt: skip
    show(scene, "a")
    return scene


def test_what_shows_something_to_a_person_holds_nothing_and_is_done_at_the_persons_word(chain: LedgerScene):
    view = chain.view("a")
    assert (view.state, view.accepted, view.is_shown, view.reservation) == ("review", BODY, True, None)
    assert [chain.state(name) for name in "bce"] == ["waiting"] * 3, "they wait, and are not set aside"
    assert chain.heads() == []
    assert chain.ledger.reviews.shown() == {an_id("a"): BODY}
    assert chain.ledger.reviews.asked([an_id("a"), an_id("b"), "nobody"]) == (
        OpenReview(job_id=an_id("a"), body=BODY, asked=ASKED, behind=2),
    )
    assert chain.ledger.kinds.states()[1] == {"night": 1}, "the debt counts it"
    assert chain.ledger.kinds.in_review() == {}, "it was not set aside with its kind"

    assert say_yes(chain, "a") == "accepted"

    assert chain.state("a") == "done" and chain.view("a").accepted == BODY
    assert sorted(chain.heads()) == ["b", "e"]
    assert chain.ledger.reviews.asked([an_id("a")]) == () and chain.ledger.reviews.shown() == {}
    assert say_yes(chain, "a") == "accepted", "its first answer was lost"


def test_the_first_word_on_an_item_stands_and_the_second_is_told(chain: LedgerScene):
    reviews = chain.ledger.reviews
    assert reviews.judge(an_id("a"), BODY, [word(2)]) == (word(2),)
    mine = word(2, is_accepted=False, who="bob")
    assert reviews.judge(an_id("a"), BODY, [word(1, who="bob"), mine]) == (word(1, who="bob"), word(2))
    assert reviews.judge(an_id("a"), BODY, []) == (word(1, who="bob"), word(2))
    assert reviews.asked([an_id("a")])[0].verdicts == (word(1, who="bob"), word(2))
    assert chain.state("a") == "review", "only the receipt with the verdicts ends it"


def test_a_rejected_job_is_dead_with_its_reason_and_takes_those_behind_it_along(chain: LedgerScene):
    assert reject(chain, "a")
    view = chain.view("a")
    assert (view.state, view.cause, view.message, view.accepted) == (
        "dead",
        "rejected",
        "by ann: too dark",
        "",
    )
    assert (chain.state("b"), chain.view("b").cause) == ("dead", "dependency_dead")
    assert chain.heads() == ["e"], "who only waits for its end goes on"
    assert chain.ledger.tallies.causes()["rejected"] == 1
    assert not reject(chain, "a"), "once"
    assert say_yes(chain, "a") == "already", "who says yes after that is too late"


def test_a_rejected_job_that_is_retried_runs_again_and_its_old_receipt_counts_no_more(chain: LedgerScene):
    reject(chain, "a")
    assert chain.retry("a")
    assert [chain.state(name) for name in "abc"] == ["waiting"] * 3
    assert chain.ledger.attempts.accept(shown("a")) == "already", "a reconciler hands the rejected one in"
    show(chain, "a", 2, token="11111111")
    assert not reject(chain, "a"), "of the body before"
    assert chain.ledger.attempts.accept(yes("a", 2, "11111111")) == "accepted"
    assert chain.state("a") == "done"


def test_verdicts_on_what_is_in_no_review_change_nothing(scene: LedgerScene):
    scene.put(an_entry("a"))
    for words in ("waiting", "running", "done"):
        assert scene.ledger.reviews.judge(an_id("a"), BODY, [word(1)]) is None
        assert not reject(scene, "a")
        if words == "waiting":
            scene.run("a")
        elif words == "running":
            scene.accept("a")
    assert scene.ledger.reviews.judge("nobody-0000000", BODY, [word(1)]) is None
    scene.put(an_entry("b"))
    show(scene, "b")
    assert scene.ledger.reviews.judge(an_id("b"), "2", [word(1)]) is None, "another body"


def test_another_body_does_not_come_between_a_person_and_what_she_looks_at(chain: LedgerScene):
    other = msgspec.structs.replace(a_receipt("a", 1), token="99999999")
    assert chain.ledger.attempts.accept(other) == "already"
    assert chain.ledger.attempts.accept(shown("a", token="99999999")) == "already"
    assert chain.ledger.attempts.accept(shown("a")) == "accepted", "the very one: the first answer was lost"
    assert chain.fail("a") == "already"
    assert chain.view("a").accepted == BODY


def test_neither_retry_nor_requeue_takes_it_from_the_person_and_cancel_does(chain: LedgerScene):
    assert not chain.retry("a")
    assert chain.requeue("a") == "review" and chain.state("a") == "review"
    assert chain.cancel("a") == "review"
    assert (chain.state("a"), chain.view("a").accepted) == ("cancelled", "")
    assert chain.ledger.reviews.asked([an_id("a")]) == ()
    assert chain.ledger.attempts.accept(shown("a")) == "already"


def test_who_is_dispatched_after_it_waits_for_the_verdict_too(chain: LedgerScene):
    chain.put(an_entry("late", after=(an_id("a"),)))
    assert chain.state("late") == "waiting"
    say_yes(chain, "a")
    assert "late" in chain.heads()


def test_another_line_changes_nothing_of_what_a_person_looks_at(chain: LedgerScene):
    revised = chain.ledger.intake.revise("night", [msgspec.structs.replace(an_entry("a"), line=b'{"v":1}')])
    assert (revised.changed, revised.done) == (0, 1)
    assert chain.view("a").is_shown


def test_a_rebuilt_ledger_has_it_in_review_with_what_was_said(scene: LedgerScene):
    scene.put(
        an_entry("a", attempts=1, token="0a1b2c3d", shown=ASKED, verdicts=(word(2),)),
        an_entry("b", after=(an_id("a"),)),
    )
    assert (scene.state("a"), scene.view("a").accepted, scene.state("b")) == ("review", BODY, "waiting")
    (found,) = scene.ledger.reviews.asked([an_id("a")])
    assert (found.asked, found.verdicts, found.open_items) == (ASKED, (word(2),), (1,))
    assert say_yes(scene, "a") == "accepted"
    assert scene.heads() == ["b"]


def test_a_worker_that_goes_on_at_once_is_not_held_up_by_a_review(scene: LedgerScene):
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    assert scene.admit("b") is None
    turn = WorkerTurn(
        worker="w1", queue="cpu-node1", lease_s=30, number="1", done=(shown("a"),), most=1, is_idle=True
    )
    turned = scene.ledger.attempts.turn(turn)
    scene.check()
    assert turned.answers == ("accepted",)
    assert [started.reservation.job_id for started in turned.started] == [an_id("b")]
    assert scene.view("a").is_shown
    assert Begun  # what is preloaded behind it follows as behind any other


# ── canaries by eye ───────────────────────────────────────────────────────────────────────────────────────


def state(scene: LedgerScene) -> KindState | None:
    return next(iter(scene.ledger.kinds.states()[0]), None)


def canary(scene: LedgerScene, name: str) -> None:
    held = a_reservation(name, 1, kind=KIND, role="canary_by_eye", breaker=3, code="v1")
    assert scene.ledger.handover.admit(scene.epoch, [Admission(reservation=held, backlog="night")]) == (None,)
    assert scene.take("cpu-node1", "w1") == (an_id(name), 1)
    scene.start(name)
    receipt = msgspec.structs.replace(shown(name), code_version="v1")
    assert scene.ledger.attempts.accept(receipt) == "accepted"
    scene.check()


def test_a_canary_by_eye_counts_as_shown_until_the_word_and_as_verified_from_then_on(scene: LedgerScene):
    scene.put(*(an_entry(name, a_class(kind=KIND)) for name in "abc"))
    canary(scene, "a")
    canary(scene, "b")
    found = state(scene)
    assert found is not None and (found.verified, found.shown, found.version) == (0, 2, "v1")
    receipt = msgspec.structs.replace(yes("a"), code_version="v1")
    assert scene.ledger.attempts.accept(receipt) == "accepted"
    found = state(scene)
    assert found is not None and (found.verified, found.shown) == (1, 1)
    assert reject(scene, "b")
    found = state(scene)
    assert found is not None and (found.verified, found.shown, found.failed) == (1, 0, 0)


def test_a_cancelled_canary_is_shown_no_more(scene: LedgerScene):
    scene.put(an_entry("a", a_class(kind=KIND)))
    canary(scene, "a")
    scene.cancel("a")
    assert state(scene) is None


def test_what_was_dead_and_comes_late_brings_those_behind_it_back(scene: LedgerScene):
    scene.put(an_entry("a"), an_entry("b", after=(an_id("a"),)))
    scene.run("a")
    scene.fail("a", then=Dead())
    assert scene.state("b") == "dead"
    assert scene.ledger.attempts.accept(shown("a")) == "accepted"
    scene.check()
    assert (scene.state("a"), scene.state("b")) == ("review", "waiting")
