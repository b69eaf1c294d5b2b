"""Taking from a queue on a real server: what happens to an entry whose reply is lost, and to a take that
was lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from ledger_scenes import LedgerScene, a_reservation, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.errors import Unreachable
from conductor.base.redis_keys import PLAIN
from conductor.model.decision import Admission
from conductor.model.ledger_entries import WorkerTurn
from tests.worker_scene import wait_until
from workers.parent.intake import Intake, TakenJob
from workers.parent.rq_presence import Presence

QUEUE = "cpu-node1"


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def scene(client: Redis) -> LedgerScene:
    return redis_scene(client, redis_ledger(client))


@pytest.fixture
def intake(client: Redis) -> Iterator[Intake]:
    intake = Intake(client, QUEUE, "w1", PLAIN, Presence(client, QUEUE, "w1", PLAIN).register)
    yield intake
    intake.close()


def a_turn() -> WorkerTurn:
    return WorkerTurn(
        worker="w1", queue=QUEUE, lease_s=30.0, number="w1:1", most=1, is_idle=True, is_from_hand=True
    )


def ids(taken: TakenJob) -> list[str]:
    return [started.reservation.job_id for started in taken.turned.started]


def fed(scene: LedgerScene, *names: str) -> None:
    for name in names:
        scene.put(an_entry(name))
        assert scene.admit(name, cpu=0.0, ram_mib=0) is None


def test_what_is_taken_is_running_when_its_worker_wakes_up(scene: LedgerScene, intake: Intake):
    fed(scene, "a")

    assert ids(intake.take(a_turn)) == [an_id("a")]
    assert scene.state("a") == "running"


def test_what_was_started_and_never_heard_of_is_told_again(
    scene: LedgerScene, intake: Intake, monkeypatch: pytest.MonkeyPatch
):
    fed(scene, "a", "b")
    real = intake._behind.take  # pyright: ignore[reportPrivateUsage]

    def loses_the_reply(turn: WorkerTurn, limit_s: float) -> None:
        real(turn, limit_s)
        raise Unreachable("the reply was lost")

    with monkeypatch.context() as patch:
        patch.setattr(intake._behind, "take", loses_the_reply)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Unreachable):
            intake.take(a_turn)

    assert ids(intake.take(a_turn)) == [an_id("a")]
    assert scene.state("b") == "admitted"


def test_nothing_stays_in_the_hand_of_a_worker_that_the_server_had_forgotten(
    scene: LedgerScene, intake: Intake, client: Redis, monkeypatch: pytest.MonkeyPatch
):
    """Its birth was in what was forgotten, and it dies with all who would have looked into its hand."""
    # Given a worker at work, and a server that came back without knowing it
    fed(scene, "a")
    assert ids(intake.take(a_turn)) == [an_id("a")]
    client.delete(PLAIN.workers, PLAIN.rq_worker("w1"))
    client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(Unreachable):
        intake.take(a_turn)
    intake.take(a_turn)

    # When it takes another entry and is killed before that is started
    fed(scene, "b")
    client.script_flush()
    monkeypatch.setattr(intake._attempts, "turn", killed)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(SystemExit):
        intake.take(a_turn)
    assert client.lrange(PLAIN.prefetched("w1"), 0, -1) == [f"{an_id('b')}-a1".encode()]

    # Then what goes back is in no hand any more, which `check` looks at
    assert scene.rescue("b")


def killed(turn: WorkerTurn) -> None:
    raise SystemExit


def test_a_lost_connection_that_still_waits_takes_nothing_for_nobody(
    scene: LedgerScene, intake: Intake, client: Redis
):
    # Given a connection of the worker's that waits on the server, and whose end the server never heard of
    ghost = threading.Thread(target=lambda: intake.take(a_turn))
    ghost.start()
    wait_until(lambda: "blmove" in str(client.client_list()), "it waits")

    # When the worker asks again, and an entry comes
    assert ids(intake._again(a_turn())) == []  # pyright: ignore[reportPrivateUsage]
    ghost.join(20.0)
    fed(scene, "a")

    # Then it lies in the queue, for whoever takes it next
    assert client.lrange(f"rq:queue:{QUEUE}", 0, -1) == [f"{an_id('a')}-a1".encode()]


def test_a_connection_cut_while_it_waits_costs_nothing(scene: LedgerScene, intake: Intake, client: Redis):
    found: list[TakenJob] = []

    def take() -> None:
        while not found or not found[-1].turned.started:
            with suppress(Unreachable):
                found.append(intake.take(a_turn))

    taking = threading.Thread(target=take)
    taking.start()
    wait_until(lambda: "blmove" in str(client.client_list()), "it waits")
    for known in client.client_list():
        if known["cmd"] == "blmove":
            client.client_kill_filter(_id=known["id"])
    # Taken in the moment in which it is there: the ledger is looked at once that is over.
    scene.put(an_entry("a"))
    held = a_reservation("a", 1, cpu=0.0, ram_mib=0)
    assert scene.ledger.handover.admit(scene.epoch, [Admission(reservation=held, backlog="night")]) == (None,)
    taking.join(30.0)
    scene.check()

    assert ids(found[-1]) == [an_id("a")]
