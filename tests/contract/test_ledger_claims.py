"""The files of one that is preloaded: claimed beside what its predecessor leaves, and in nobody's way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ledger_scenes import LEASE_S, LedgerScene, a_receipt, a_reservation, an_entry, an_id

from conductor.model.decision import Admission, Successor
from conductor.model.ledger_entries import Begun, Preloaded, Turned, WorkerTurn
from conductor.model.receipt import OutputFact, Receipt

#: What there is on the disk, and what `a`, which runs there, may leave.
DISK, LEFT = 10, 3
SCRATCH, BOTH = "node1/scratch:bytes", "node1/published+scratch:bytes"
Files = dict[str, int]


@pytest.fixture
def one_runs(scene: LedgerScene) -> LedgerScene:
    scene.put(*(an_entry(name) for name in "abcd"))
    assert scene.admit("a", disk={"scratch": LEFT}) is None
    assert [s.reservation.job_id for s in turn(scene, a_turn("1")).started] == [an_id("a")]
    return scene


def a_turn(number: str, worker: str = "w1", **changes: Any) -> WorkerTurn:
    plain = WorkerTurn(
        worker=worker, queue=queue_of(worker), lease_s=LEASE_S, number=number, most=1, budget_s=0.05
    )
    return msgspec.structs.replace(plain, is_idle=True, **changes)


def queue_of(worker: str) -> str:
    return "cpu-node1" if worker == "w1" else f"cpu-node1-{worker}"


def turn(scene: LedgerScene, turn: WorkerTurn) -> Turned:
    turned = scene.ledger.attempts.turn(turn)
    scene.check()
    return turned


def an_admission(
    scene: LedgerScene, name: str, files: Files, ceiling: int, worker: str, key: str
) -> Admission:
    held = a_reservation(name, scene.view(name).attempts + 1, disk=files, queue=queue_of(worker))
    return Admission(reservation=held, backlog="night", ceilings={key: ceiling})


def tick(
    scene: LedgerScene,
    *successors: tuple[str, Files],
    admit: tuple[str, Files] | None = None,
    after: str = "a",
    key: str = SCRATCH,
    looked_at: float | None = None,
) -> str | None:
    """Names who goes next where `after` ends, and hands one over in another queue: why not, if not."""
    handover, left = scene.ledger.handover, LEFT if after == "a" else 0
    named = [
        Successor(
            predecessor=an_id(after),
            attempt=1,
            admission=an_admission(scene, *successor, DISK - left, "w1", key),
        )
        for successor in successors
    ]
    admitted = [an_admission(scene, *admit, DISK, "w2", key)] if admit else []
    answers = handover.admit(scene.epoch, admitted, named, handover.successions()[0], looked_at)
    scene.check()
    return answers[0] if answers else None


def word(scene: LedgerScene, worker: str = "w1") -> Preloaded | None:
    found = scene.ledger.attempts.next_preloaded(worker, 0.0)
    scene.check()
    return found


def preloaded(name: str, number: int = 1) -> Begun:
    return Begun(predecessor=an_id("a"), of_attempt=1, job_id=an_id(name), attempt=number)


def wrote(name: str, size: int) -> Receipt:
    file = OutputFact(path=f"scratch:{name}", bytes=size, sha256="0" * 64)
    return msgspec.structs.replace(a_receipt(name), outputs=(file,))


FOUR, FIVE = {"scratch": 4}, {"scratch": 5}
OVER = f"over ceiling {SCRATCH}"


def test_a_successor_with_files_is_preloaded_where_they_fit_beside_those_of_its_predecessor(
    one_runs: LedgerScene,
):
    assert tick(one_runs, ("b", {"scratch": DISK - LEFT})) is None

    told = word(one_runs)

    assert told is not None and told.successor is not None
    assert told.successor.reservation.disk == {"scratch": DISK - LEFT}


def test_and_is_not_where_they_do_not(one_runs: LedgerScene):
    tick(one_runs, ("b", {"scratch": DISK - LEFT + 1}))

    assert word(one_runs) is None
    assert one_runs.view("b").attempts == 0


def test_what_it_may_write_is_given_to_nobody_else(one_runs: LedgerScene):
    tick(one_runs, ("b", FOUR))

    assert tick(one_runs, ("b", FOUR), admit=("c", FOUR)) == OVER


def test_the_rest_of_the_disk_is(one_runs: LedgerScene):
    tick(one_runs, ("b", FOUR))

    assert tick(one_runs, ("b", FOUR), admit=("c", {"scratch": DISK - LEFT - 4})) is None


def test_roots_on_one_file_system_share_what_is_claimed(one_runs: LedgerScene):
    tick(one_runs, ("b", FOUR), key=BOTH)
    assert word(one_runs) is not None

    assert tick(one_runs, ("b", FOUR), admit=("c", {"published": 4}), key=BOTH) == f"over ceiling {BOTH}"
    assert tick(one_runs, admit=("d", {"published": 3}), key=BOTH) is None


def test_one_that_has_begun_holds_what_was_claimed(one_runs: LedgerScene):
    tick(one_runs, ("b", FOUR))
    assert (
        turn(one_runs, a_turn("2", done=(wrote("a", LEFT),), begun=(preloaded("b"),), most=0)).refused == ()
    )

    assert one_runs.admit("c", ceilings={SCRATCH: 7}, disk=FOUR) == OVER
    assert one_runs.admit("c", ceilings={SCRATCH: 8}, disk=FOUR) is None


@pytest.mark.parametrize("how", ["fail", "rescue", "accept", "turn", "not begun", "taken back"])
def test_it_is_given_back_where_its_predecessor_ends_without_it_or_it_will_not_begin(
    one_runs: LedgerScene, how: str
):
    tick(one_runs, ("b", FOUR))
    match how:
        case "turn":
            turn(one_runs, a_turn("2", done=(a_receipt("a"),), most=0))
        case "not begun":
            turn(one_runs, a_turn("2", not_begun=(preloaded("b"),), most=0))
            turn(one_runs, a_turn("3", not_begun=(preloaded("b"),), most=0))
        case "taken back":
            tick(one_runs)
            turn(one_runs, a_turn("2", not_begun=(preloaded("b"),), most=0))
        case _:
            getattr(one_runs, how)("a")
    left = LEFT if how in ("not begun", "taken back") else 0

    assert one_runs.admit("c", ceilings={SCRATCH: 4 + left - 1}, disk=FOUR) == OVER
    assert one_runs.admit("c", ceilings={SCRATCH: 4 + left}, disk=FOUR) is None


def test_until_its_worker_says_so_it_may_have_begun(one_runs: LedgerScene):
    tick(one_runs, ("b", FOUR))
    tick(one_runs)

    assert tick(one_runs, admit=("c", FOUR)) == OVER


def test_a_claim_is_given_up_for_one_that_could_start_now(one_runs: LedgerScene):
    tick(one_runs, ("b", FOUR))
    told = word(one_runs)
    assert told is not None and told.successor is not None
    assert tick(one_runs, ("b", FOUR), admit=("c", FIVE)) == OVER

    back = word(one_runs)
    assert back is not None
    assert (back.job_id, back.successor) == (an_id("b"), None)
    assert tick(one_runs, ("b", FOUR), admit=("c", FIVE)) == OVER
    turn(one_runs, a_turn("2", not_begun=(preloaded("b"),), most=0))
    assert one_runs.ledger.bell.wait(0.01), "a tick comes at once"

    assert tick(one_runs, ("b", FOUR), admit=("c", FIVE)) is None
    assert word(one_runs) is None, "now it does not fit"


def test_while_somebody_waits_for_a_claim_none_is_made_behind_another(one_runs: LedgerScene):
    assert one_runs.admit("d", queue=queue_of("w2")) is None
    assert turn(one_runs, a_turn("1", "w2")).started
    tick(one_runs, ("b", FOUR))
    assert tick(one_runs, ("b", FOUR), admit=("c", FIVE)) == OVER

    successor = Successor(
        predecessor=an_id("d"), attempt=1, admission=an_admission(one_runs, "b", FOUR, DISK, "w2", SCRATCH)
    )
    wanted = an_admission(one_runs, "c", FIVE, DISK, "w2", SCRATCH)
    seen, _ = one_runs.ledger.handover.successions()
    assert one_runs.ledger.handover.admit(one_runs.epoch, [wanted], [successor], seen) == (OVER,)

    assert word(one_runs, "w2") is None


def test_of_two_successors_of_one_disk_both_are_preloaded_only_where_both_fit(one_runs: LedgerScene):
    assert one_runs.admit("d", queue=queue_of("w2")) is None
    assert turn(one_runs, a_turn("1", "w2")).started
    pairs = [("a", "b", "w1", DISK - LEFT), ("d", "c", "w2", DISK)]
    successors = [
        Successor(
            predecessor=an_id(after),
            attempt=1,
            admission=an_admission(one_runs, name, FOUR, room, worker, SCRATCH),
        )
        for after, name, worker, room in pairs
    ]
    seen, _ = one_runs.ledger.handover.successions()
    one_runs.ledger.handover.admit(one_runs.epoch, [], successors, seen)
    one_runs.check()

    assert word(one_runs) is not None
    assert word(one_runs, "w2") is None


@pytest.mark.parametrize("is_told", [True, False])
def test_what_was_written_since_a_tick_looked_is_not_taken_for_free_beside_a_claim(
    one_runs: LedgerScene, is_told: bool
):
    """`d` held 3 when the tick looked and wrote as much since: it is in no sum any more, nor measured."""
    assert one_runs.admit("d", queue=queue_of("w2"), disk={"scratch": 3}) is None
    assert turn(one_runs, a_turn("1", "w2")).started
    tick(one_runs, ("b", FOUR))
    looked_at = one_runs.ledger.bell.now()
    turn(one_runs, a_turn("2", "w2", done=(wrote("d", 3),), most=0))

    why_not = tick(
        one_runs, ("b", FOUR), admit=("c", {"scratch": 1}), looked_at=looked_at if is_told else None
    )

    assert why_not == (OVER if is_told else None)


def test_nor_where_an_attempt_ends_beside_it(one_runs: LedgerScene):
    """`d` ended: what it held is free in the sums, and its files are there. `c`, next where `a` ends, may
    take neither them nor what is claimed behind another."""
    scene = one_runs
    scene.put(an_entry("e"), an_entry("f"))
    for name, worker in (("d", "w2"), ("e", "w3")):
        assert scene.admit(name, queue=queue_of(worker), disk={"scratch": 2}) is None
        assert turn(scene, a_turn("1", worker)).started
    looked_at = scene.ledger.bell.now()
    successors = [
        Successor(
            predecessor=an_id(after),
            attempt=1,
            admission=an_admission(scene, name, files, room, worker, SCRATCH),
        )
        for after, name, files, room, worker in (
            ("e", "b", {"scratch": 2}, DISK - 2, "w3"),
            ("a", "c", {"scratch": 3}, DISK - LEFT, "w1"),
        )
    ]
    seen, _ = scene.ledger.handover.successions()
    scene.ledger.handover.admit(scene.epoch, [], successors, seen, looked_at)
    assert (word(scene, "w3"), word(scene)) != (None, None)
    turn(scene, a_turn("2", "w2", done=(wrote("d", 2),), most=0))

    turned = turn(scene, a_turn("2", done=(wrote("a", LEFT),)))

    assert turned.started == (), "3 of a, 2 of d, 2 of e, 2 claimed for b: 1 is left"


def test_what_its_predecessor_left_itself_is_not_counted_twice(one_runs: LedgerScene):
    scene = one_runs
    assert scene.admit("d", queue=queue_of("w2")) is None
    assert turn(scene, a_turn("1", "w2")).started
    looked_at = scene.ledger.bell.now()
    successors = [
        Successor(
            predecessor=an_id(after),
            attempt=1,
            admission=an_admission(scene, name, files, room, worker, SCRATCH),
        )
        for after, name, files, room, worker in (
            ("d", "b", {}, DISK, "w2"),
            ("a", "c", {"scratch": DISK - LEFT}, DISK - LEFT, "w1"),
        )
    ]
    seen, _ = scene.ledger.handover.successions()
    scene.ledger.handover.admit(scene.epoch, [], successors, seen, looked_at)

    turned = turn(scene, a_turn("2", done=(wrote("a", LEFT),)))

    assert [started.reservation.job_id for started in turned.started] == [an_id("c")]
