"""What a tick reads of many nodes and queues comes in few commands, and is what one by one would say."""

from __future__ import annotations

from builders import a_report
from redis import Redis

from conductor.adapters.open_ledger import redis_ledger
from conductor.base.redis_keys import PLAIN


def test_of_two_hundred_queues_those_with_entries_are_told(valkey_client: Redis) -> None:
    handover, names = redis_ledger(valkey_client).handover, [f"cpu-n{n}" for n in range(200)]
    valkey_client.sadd(f"{PLAIN.ledger}queues", *names)
    assert handover.queued() == {}

    deep = {"cpu-n0": 3, "cpu-n7": 1, "cpu-n64": 2, "cpu-n128": 1, "cpu-n199": 5}
    for name, count in deep.items():
        valkey_client.rpush(PLAIN.rq_queue(name), *["entry"] * count)

    assert handover.queued() == deep
    before = commands(valkey_client)
    handover.queued()
    assert commands(valkey_client) - before < 200, "most queues are empty, and those are asked together"


def test_of_a_thousand_nodes_those_whose_reports_live_are_told(valkey_client: Redis) -> None:
    reports = redis_ledger(valkey_client).reports
    names = [f"n{n:04}" for n in range(1030)]
    for name in names:
        reports.publish(a_report(name), 60)
    gone = {"n0000", "n0499", "n0500", "n1029"}
    valkey_client.delete(*(f"{PLAIN.ledger}node:{name}" for name in gone))

    assert [report.node for report in reports.live()] == [name for name in names if name not in gone]
    assert valkey_client.scard(f"{PLAIN.ledger}nodes") == len(names) - len(gone), "the others are forgotten"


def commands(redis: Redis) -> int:
    stats: dict[str, int] = redis.info("stats")  # pyright: ignore[reportAssignmentType]
    return stats["total_commands_processed"]
