"""How many commands the life of one short job among many costs inside the server. What a step adds here is
paid by each of thousands a second."""

from __future__ import annotations

from ledger_scenes import a_receipt, a_reservation, an_entry, an_id
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.model.decision import Admission
from conductor.model.ledger_entries import WorkerTurn
from conductor.model.receipt import Receipt

NAMES = "abcdefghijklmnopqrstuvwxyz"
#: It had been 50 before counts were written once a step, and what a step knows was not asked again.
MOST = 39


def calls(client: Redis) -> int:
    """Of all commands, those of scripts among them."""
    return sum(row["calls"] for name, row in client.info("commandstats").items() if "info" not in name)


def a_turn(number: str, most: int = 0, done: tuple[Receipt, ...] = ()) -> WorkerTurn:
    return WorkerTurn(
        worker="w1",
        queue="cpu-node1",
        lease_s=60,
        number=number,
        done=done,
        most=most,
        budget_s=1.0,
        task_durations={"media.cut": 0.001},
    )


def a_round(client: Redis, names: str) -> int:
    """What it costs to put, admit, start and accept so many together."""
    client.flushall()
    ledger = redis_ledger(client)
    epoch = ledger.leadership.lead("c", 60)
    assert epoch is not None
    before = calls(client)
    ledger.intake.put("night", [an_entry(name) for name in names])
    reservations = [a_reservation(name, cpu=0.0, ram_mib=0) for name in names]
    ledger.handover.admit(epoch, [Admission(reservation=r, backlog="night") for r in reservations])
    started = ledger.attempts.turn(a_turn("1", most=len(names))).started
    assert [each.reservation.job_id for each in started] == [an_id(name) for name in names]
    turned = ledger.attempts.turn(a_turn("2", done=tuple(map(a_receipt, names))))
    assert set(turned.answers) == {"accepted"}
    return calls(client) - before


def test_one_more_short_job_costs_the_server_few_commands(redis_url: str) -> None:
    with connect(redis_url) as client:
        a_round(client, NAMES)  # It knows the scripts by now.
        more = a_round(client, NAMES) - a_round(client, NAMES[:1])
    assert more / (len(NAMES) - 1) <= MOST
