"""A worker that was born, and began a long body, within what Redis forgot: the ledger knows neither, and the
body is not begun a second time beside it."""

from __future__ import annotations

from builders import a_class, a_report
from ledger_scenes import LedgerScene, a_reservation, an_entry, an_id, steps_back
from loop_scene import a_conductor, dispatch, publish
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.model.ledger_entries import HeldReport, RollCall, Settled
from conductor.model.snapshot import Reservation
from conductor.ports import Ledger


def test_what_its_leader_saw_running_is_not_begun_again_beside_it(redis_url: str) -> None:
    with connect(redis_url) as client:
        ledger = redis_ledger(client)
        publish(ledger, a_report("alpha"))
        dispatch(ledger, a_class("cpu"), 1)
        conductor = a_conductor(ledger)
        on_disk = {key: client.dump(key) for key in client.scan_iter()}
        conductor.tick()
        (held,) = ledger.handover.reservations()
        client.sadd("conductor:workers", "w1")
        ledger.attempts.start(held.job_id, held.attempt, "w1", 30)
        conductor.tick()

        comes_back_as(client, on_disk)
        conductor.tick()
        assert ledger.handover.reservations() == (), "its worker has yet to say what it holds"
        assert speaks(ledger, "w1", held) == "ok"
        conductor.tick()

        (again,) = ledger.handover.reservations()
        assert (again.state, again.worker, again.attempt) == ("running", "w1", held.attempt)


def comes_back_as(client: Redis, on_disk: dict[bytes, bytes]) -> None:
    """A server that was started again with that."""
    for key in [*client.scan_iter()]:
        client.delete(key)
    for key, value in on_disk.items():
        client.restore(key, 0, value)
    client.set("conductor:settled_history", "the.one.before")


def speaks(ledger: Ledger, worker: str, held: Reservation) -> str:
    """As its keeper: it names what it holds, and what the ledger has forgotten it gives back to it."""
    report = HeldReport(job_id=held.job_id, attempt=held.attempt)
    assert ledger.attempts.renew(worker, 30, [report]).answers == ("unknown",)
    return ledger.attempts.adopt(held, worker, 30)


def leads(scene: LedgerScene) -> None:
    epoch = scene.ledger.leadership.lead("conductor-1", 3600)
    assert epoch is not None
    scene.epoch = epoch


def settles(scene: LedgerScene) -> Settled | None:
    return scene.ledger.leadership.settle(scene.epoch, 30.0, 0)


def ran(name: str, worker: str) -> list[Reservation]:
    return [a_reservation(name, state="running", worker=worker)]


def test_who_is_expected_is_called_and_waited_for(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    steps_back(scene)
    leads(scene)

    scene.ledger.workers.expect(ran("a", "w1"), 30.0)

    assert scene.ledger.attempts.next_preloaded("w1", 0) == RollCall()
    assert settles(scene) is None
    assert speaks(scene.ledger, "w1", a_reservation("a")) == "ok"
    assert settles(scene) == Settled(went_back=0, floor=0)
    assert scene.state("a") == "running"


def test_who_has_spoken_or_runs_what_the_ledger_knows_of_is_not_expected(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    assert scene.rescue("a")
    steps_back(scene)
    leads(scene)
    assert speaks(scene.ledger, "w2", a_reservation("b")) == "ok"

    scene.ledger.workers.expect([*ran("a", "w1"), *ran("b", "w2")], 30.0)

    if scene.redis is not None:
        assert not scene.redis.exists(scene.keys.rq_worker("w1"))
    assert settles(scene) == Settled(went_back=0, floor=0)


def test_in_a_settled_ledger_nobody_is_expected(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))

    scene.ledger.workers.expect(ran("a", "w1"), 30.0)

    assert scene.ledger.attempts.next_preloaded("w1", 0) is None


def test_who_named_a_job_before_it_was_told_again_has_to_name_it_once_more(scene: LedgerScene) -> None:
    scene.put(an_entry("other"))
    steps_back(scene)
    leads(scene)
    scene.ledger.workers.expect(ran("a", "w1"), 30.0)
    held = a_reservation("a")
    assert speaks(scene.ledger, "w1", held) == "unknown"

    scene.put(an_entry("a"))

    assert settles(scene) is None, "it would be handed out beside its body"
    assert speaks(scene.ledger, "w1", held) == "ok"
    assert settles(scene) == Settled(went_back=0, floor=0)
    assert scene.view("a").job_id == an_id("a")
