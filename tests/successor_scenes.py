"""Successors in a ledger: named, preloaded, and turns that start them. Offers to who comes next."""

from __future__ import annotations

from typing import Any

import msgspec
from ledger_scenes import LEASE_S, LedgerScene, a_receipt, a_reservation, an_id

from conductor.model.decision import Admission, StandingOffer, Successor
from conductor.model.ledger_entries import Begun, Preloaded, Turned, WorkerTurn

CORE = {"node1:cpu_milli": 1000}


def a_successor(name: str, after: str, cores: int = 1, **changes: Any) -> Successor:
    """`cores`: what its node has."""
    ceilings = {"node1:cpu_milli": cores * 1000}
    admission = Admission(reservation=a_reservation(name, **changes), backlog="night", ceilings=ceilings)
    return Successor(predecessor=an_id(after), attempt=1, admission=admission)


def a_turn(number: str = "1", **changes: Any) -> WorkerTurn:
    plain = WorkerTurn(
        worker="w1", queue="cpu-node1", lease_s=LEASE_S, number=number, most=8, budget_s=0.05, is_idle=True
    )
    return msgspec.structs.replace(plain, **changes)


def turn(scene: LedgerScene, turn: WorkerTurn) -> Turned:
    turned = scene.ledger.attempts.turn(turn)
    scene.check()
    return turned


def name_successors(scene: LedgerScene, *successors: Successor) -> None:
    seen, _ = scene.ledger.handover.successions()
    scene.ledger.handover.admit(scene.epoch, [], successors, seen)
    scene.check()


def an_offer(class_id: str = "c1", cores: int = 1, **changes: Any) -> StandingOffer:
    """`cores`: what its node has."""
    held = msgspec.structs.replace(a_reservation("x", class_id=class_id, **changes), job_id="")
    ceilings = {"node1:cpu_milli": cores * 1000}
    return StandingOffer(
        class_id=class_id, admission=Admission(reservation=held, backlog="night", ceilings=ceilings)
    )


def leave(scene: LedgerScene, *offers: StandingOffer, seen: int | None = None) -> None:
    """As a tick does that looked just now."""
    scene.ledger.bell.wait(0.001)
    now, _ = scene.ledger.handover.successions()
    scene.ledger.handover.offer(scene.epoch, offers, now if seen is None else seen)


def begun(turned: Turned) -> list[str]:
    return [started.reservation.job_id for started in turned.started]


def ended(number: str = "2", **changes: Any) -> WorkerTurn:
    return a_turn(number, done=(a_receipt("a"),), **changes)


def word(scene: LedgerScene, worker: str = "w1") -> Preloaded | None:
    found = scene.ledger.attempts.next_preloaded(worker, 0.0)
    scene.check()
    return found


def preloaded(name: str, after: str = "a", attempt: int = 1) -> Begun:
    return Begun(predecessor=an_id(after), of_attempt=1, job_id=an_id(name), attempt=attempt)
