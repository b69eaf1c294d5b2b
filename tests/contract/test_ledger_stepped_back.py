"""The server may have forgotten what it was told last: nothing is handed out until the ledger is settled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ledger_scenes import NODE, LedgerScene, a_receipt, a_reservation, an_entry, an_id, steps_back
from msgspec import structs

from conductor.base.errors import Fenced
from conductor.model.decision import Admission, Successor
from conductor.model.ledger_entries import HeldReport, RollCall, Settled, Turned, WorkerTurn
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import Lookahead

QUEUE = "cpu-node1"


def is_there(scene: LedgerScene, *workers: str) -> None:
    """As its presence says."""
    for worker in workers:
        if scene.redis is not None:
            scene.redis.sadd(scene.keys.workers, worker)
            scene.redis.set(scene.keys.rq_worker(worker), "1")
        else:
            scene.ledger.leadership._store.history.workers.add(worker)  # type: ignore[attr-defined]


def leads(scene: LedgerScene) -> int:
    epoch = scene.ledger.leadership.lead("conductor-1", 3600)
    assert epoch is not None
    scene.epoch = epoch
    return epoch


def says(scene: LedgerScene, worker: str, *held: tuple[str, int], seen: int = 0) -> tuple[str, ...]:
    reports = [HeldReport(job_id=an_id(name), attempt=attempt) for name, attempt in held]
    return scene.ledger.attempts.renew(worker, 30, reports, seen).answers


def settles(scene: LedgerScene, wait_s: float = 30.0, highest: int = 0) -> Settled | None:
    settled = scene.ledger.leadership.settle(scene.epoch, wait_s, highest)
    scene.check()
    return settled


def a_turn(scene: LedgerScene, worker: str = "w1", **more: object) -> Turned:
    values: dict[str, object] = {
        "worker": worker,
        "queue": QUEUE,
        "lease_s": 30.0,
        "number": "n",
        "most": 4,
        **more,
    }
    return scene.ledger.attempts.turn(WorkerTurn(is_idle=True, budget_s=1.0, **values))  # type: ignore[arg-type]


def test_nothing_is_handed_out_and_all_else_goes_on(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "abcd"))
    scene.run("a")
    scene.run("b")
    scene.admit("c")
    steps_back(scene)

    assert scene.admit("d") == "Redis may have forgotten what it was told last"
    with pytest.raises(Fenced):
        scene.start("c")
    turned = a_turn(scene, done=(a_receipt("a"),))
    assert (turned.answers, turned.started, turned.over, turned.is_closed) == (("accepted",), (), (), True)
    assert says(scene, "w1", ("b", 1)) == ("ok",)
    assert scene.fail("b") == "accepted"
    assert scene.ledger.handover.queued() == {QUEUE: 1}, "what is in the queue stays there"


def test_who_was_at_work_meanwhile_can_tell(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    served = scene.ledger.identity.history()
    assert served and scene.ledger.identity.history() == served
    assert scene.ledger.intake.complete(served, "sha|night", 7)
    assert not scene.ledger.intake.complete("that.before", "sha|night", 8)
    assert scene.ledger.intake.completed() == {"sha|night": 7}
    if scene.redis is None:
        steps_back(scene)
        assert scene.ledger.identity.history() != served
    else:
        assert scene.redis.get(f"{scene.keys.ledger}settled_history") == served.encode(), (
            "that for which the ledger is settled"
        )


def test_of_dispatches_that_are_whole_the_last_thousand_are_remembered(scene: LedgerScene) -> None:
    served = scene.ledger.identity.history()
    for number in range(1, 1003):
        assert scene.ledger.intake.complete(served, f"sha{number % 1001}|night", number)

    found = scene.ledger.intake.completed()

    assert sorted(found.values()) == list(range(3, 1003)) and found["sha1|night"] == 1002


def test_the_same_leader_gets_another_epoch_and_calls_the_roll(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    is_there(scene, "w1")
    before = scene.epoch
    assert leads(scene) == before and scene.ledger.leadership.is_settled
    steps_back(scene)

    assert leads(scene) > before
    assert leads(scene) == scene.epoch, "and keeps it"
    assert not scene.ledger.leadership.is_settled
    assert scene.ledger.attempts.next_preloaded("w1", 0) == RollCall()
    unsettled = scene.ledger.identity.pulse().unsettled
    assert unsettled is not None and unsettled.silent == 1
    with pytest.raises(Fenced):
        scene.ledger.leadership.settle(before, 0, 0)
    assert settles(scene) is None, "it has not spoken"
    assert says(scene, "w1") == ()
    assert settles(scene) == Settled(went_back=0, floor=0), "and nothing was forgotten"
    assert leads(scene) == scene.epoch and scene.ledger.leadership.is_settled
    assert scene.admit("a") is None


def test_what_its_worker_does_not_name_went_in_what_was_forgotten(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "abc"))
    for name in "ab":
        scene.run(name)
    scene.run("c", 1, "w2")
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)

    assert says(scene, "w1", ("a", 1)) == ("ok",)
    assert settles(scene) == Settled(went_back=1, floor=0)
    assert [scene.state(name) for name in "abc"] == ["running", "waiting", "running"], (
        "whose worker is gone is rescued"
    )
    assert scene.view("b").failures == {}, "at no cost"
    assert scene.admit("b", 2) is None


def test_numbers_that_may_be_in_use_are_left_behind(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "abc"))
    scene.run("a")
    assert scene.admit("b") is None
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)

    says(scene, "w1", ("a", 1), seen=1000)
    assert settles(scene, highest=207) == Settled(went_back=1, floor=300)
    assert scene.state("b") == "waiting", "it may have been started in what was forgotten"
    assert scene.ledger.handover.queued() == {}
    found = scene.ledger.waiting.candidates(Lookahead(heads=10))
    assert {head.job_id: head.attempts for c in found for head in c.heads} == {
        an_id("b"): 300,
        an_id("c"): 300,
    }
    assert scene.admit("c", 1) == "attempt 1 is not its next"
    assert scene.admit("c", 301) is None
    assert says(scene, "w1", ("a", 1), seen=1000) == ("ok",)
    assert scene.ledger.identity.pulse().unsettled is None, "the same witness is not heard twice"


def test_who_has_seen_more_than_there_is_closes_the_ledger_though_the_server_looks_the_same(
    scene: LedgerScene,
) -> None:
    scene.put(an_entry("a"))
    assert scene.admit("a") is None
    turned = a_turn(scene, seen=1000)
    assert turned.is_closed and turned.started == ()
    before = scene.epoch
    assert leads(scene) > before
    assert settles(scene) == Settled(went_back=1, floor=100)


def test_silent_workers_are_waited_for_and_then_may_have_held_anything(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "ab"))
    scene.run("a")
    assert scene.admit("b") is None
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)

    assert settles(scene, wait_s=0.05) is None
    scene.let(0.06)
    assert settles(scene, wait_s=0.05) == Settled(went_back=1, floor=100)
    assert (scene.state("a"), scene.state("b")) == ("running", "waiting"), "its lease runs out"


def test_a_dead_worker_that_its_node_struck_off_is_not_waited_for(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    is_there(scene, "w1", "w2")
    scene.ledger.orphans.remove_worker("w1", QUEUE)
    steps_back(scene)
    leads(scene)

    assert settles(scene) is None, "the other one has not spoken"
    says(scene, "w2")
    assert settles(scene) == Settled(went_back=0, floor=0)


def test_a_worker_that_died_since_may_have_seen_what_was_forgotten(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)

    scene.ledger.orphans.remove_worker("w1", QUEUE)
    assert settles(scene) == Settled(went_back=0, floor=100), "and nobody waits for its word"


def test_a_worker_that_spoke_and_died_has_not_seen_what_was_forgotten(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)

    says(scene, "w1")
    scene.ledger.orphans.remove_worker("w1", QUEUE)
    assert settles(scene) == Settled(went_back=0, floor=0)


def test_who_was_waited_for_in_vain_is_not_waited_for_again(scene: LedgerScene) -> None:
    """The workers of a lost host: nobody is left to strike them off."""
    scene.put(an_entry("a"))
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)
    assert settles(scene, wait_s=0.0) == Settled(went_back=0, floor=100)

    steps_back(scene)
    leads(scene)
    assert settles(scene) == Settled(went_back=0, floor=0)


def test_the_last_worker_to_speak_rings(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    is_there(scene, "w1", "w2", "w3")
    steps_back(scene)
    leads(scene)
    scene.ledger.bell.wait(0.001)

    says(scene, "w1")
    assert not scene.ledger.bell.wait(0.001), "others have yet to speak"
    scene.ledger.orphans.remove_worker("w3", QUEUE)
    assert not scene.ledger.bell.wait(0.001)
    says(scene, "w2")
    assert scene.ledger.bell.wait(0.001)


def test_what_lies_in_a_hand_goes_back_though_its_worker_and_all_who_would_look_are_gone(
    scene: LedgerScene,
) -> None:
    """Nothing was forgotten, and the worker is not heard of any more: it stays registered until its hand is
    empty."""
    scene.put(an_entry("a"))
    admitted(scene, 1)
    assert scene.take(QUEUE, "w1") == (an_id("a"), 1)
    steps_back(scene)
    leads(scene)

    assert settles(scene) == Settled(went_back=0, floor=0)
    assert scene.rescue("a"), "and nothing of it is left in that hand, which `check` looks at"
    if scene.redis is not None:
        assert scene.redis.smembers(scene.keys.workers) == set(), "who is gone is struck off then"


def test_who_was_waited_for_in_vain_and_lives_is_looked_for_from_its_next_word_on(scene: LedgerScene) -> None:
    """It stood still for a lease, with its hand open: what the server puts into it can be taken out again."""
    if scene.redis is None:
        pytest.skip("the twin looks into all hands")
    scene.put(an_entry("a"))
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)
    settled = settles(scene, wait_s=0.0)
    assert settled is not None
    assert scene.redis.smembers(scene.keys.workers) == set()
    says(scene, "w1")
    admitted(scene, settled.floor + 1)
    scene.redis.lmove(scene.keys.rq_queue(QUEUE), scene.keys.prefetched("w1"), "LEFT", "RIGHT")

    assert scene.ledger.orphans.give_back(an_id("a"), settled.floor + 1)
    assert scene.redis.llen(scene.keys.prefetched("w1")) == 0


CLAIMS: dict[str, Callable[[LedgerScene], None]] = {
    "waits": lambda scene: None,
    "is in the queue": lambda scene: admitted(scene, 1),
    "runs as an older attempt": lambda scene: scene.run("a", 1, "w2"),
}


def admitted(scene: LedgerScene, attempt: int) -> None:
    assert scene.admit("a", attempt) is None


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_a_body_that_the_ledger_forgot_goes_on(
    scene: LedgerScene, claim: Callable[[LedgerScene], None]
) -> None:
    scene.put(an_entry("a"))
    claim(scene)
    is_there(scene, "w1")
    steps_back(scene)
    leads(scene)

    attempt = 2
    assert says(scene, "w1", ("a", attempt)) == ("unknown",)
    assert scene.ledger.attempts.adopt(a_reservation("a", attempt), "w1", 30) == "ok"
    scene.check()
    assert settles(scene) == Settled(went_back=0, floor=0)
    (held,) = scene.ledger.handover.reservations()
    assert (held.attempt, held.state, held.worker) == (attempt, "running", "w1")
    assert scene.ledger.handover.queued() == {}
    assert says(scene, "w1", ("a", attempt)) == ("ok",)


def test_an_attempt_in_the_queue_that_was_started_in_what_was_forgotten_goes_on(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    admitted(scene, 1)
    assert scene.take(QUEUE, "w2") == (an_id("a"), 1)
    steps_back(scene)
    leads(scene)

    assert says(scene, "w1", ("a", 1)) == ("unknown",)
    assert scene.ledger.attempts.adopt(a_reservation("a", 1), "w1", 30) == "ok"
    settles(scene)
    turned = a_turn(scene, "w2", is_from_hand=True)
    assert turned.started == (), "nobody else begins it"
    assert scene.state("a") == "running"


# ── a worker names all that it holds ──────────────────────────────────────────────────────────────────────


def test_what_a_worker_does_not_name_is_an_orphan_at_once(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "abc"))
    for name in "ab":
        scene.run(name)
    scene.run("c", 1, "w2")
    turned = a_turn(scene)

    assert says(scene, "w1", ("a", 1), seen=turned.step) == ("ok",)
    assert [held.job_id for held in scene.ledger.orphans.orphans(60.0)] == [an_id("b")]


def test_what_is_on_its_way_to_a_worker_is_not_taken_for_dropped(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "ab"))
    scene.run("a")
    heard = a_turn(scene).step
    scene.run("b")

    assert says(scene, "w1", ("a", 1), seen=heard) == ("ok",)
    assert scene.ledger.orphans.orphans(60.0) == ()
    assert says(scene, "w1", ("a", 1), seen=a_turn(scene, number="m").step) == ("ok",)
    assert [held.job_id for held in scene.ledger.orphans.orphans(60.0)] == [an_id("b")]


def test_a_successor_is_not_handed_over_by_a_ledger_that_is_not_settled(scene: LedgerScene) -> None:
    scene.put(*map(an_entry, "ab"))
    scene.run("a")
    successor = Admission(reservation=a_reservation("b"), backlog="night")
    scene.ledger.handover.admit(
        scene.epoch, [], [Successor(predecessor=an_id("a"), attempt=1, admission=successor)]
    )
    steps_back(scene)

    turned = a_turn(scene, done=(structs.replace(a_receipt("a"), node=NODE),))
    assert turned.answers == ("accepted",)
    assert scene.state("b") == "waiting"


def test_by_which_server_the_ledger_is_whole_is_noted(scene: LedgerScene) -> None:
    identity = scene.ledger.identity
    assert identity.server() and identity.served_by() is None
    served = ServedBy(server="b:1", at=7.5, before="a:1", took_s=2.5, went_back=3, floor=100)
    identity.note_server(served)
    assert identity.served_by() == served and served.is_failover
