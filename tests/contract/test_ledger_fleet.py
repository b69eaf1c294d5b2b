"""What a tick reads of many nodes, queues and classes comes in few commands, as one by one would say it."""

from __future__ import annotations

from builders import a_report
from ledger_scenes import LedgerScene, a_class, an_entry, an_id
from redis import Redis

from conductor.adapters.open_ledger import redis_ledger
from conductor.base.redis_keys import PLAIN
from conductor.model.snapshot import Lookahead


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
    left: set[bytes] = valkey_client.smembers(f"{PLAIN.ledger}nodes")  # pyright: ignore[reportAssignmentType]
    assert {name.decode() for name in left} == set(names) - gone, "those and no others are forgotten"


def commands(redis: Redis) -> int:
    stats: dict[str, int] = redis.info("stats")  # pyright: ignore[reportAssignmentType]
    return stats["total_commands_processed"]


def test_of_many_classes_each_has_its_own_first_jobs_and_its_number(scene: LedgerScene) -> None:
    jobs = {f"c{c:02d}": [f"n{c:02d}x{n:02d}" for n in range(c % 7 + 16)] for c in range(60)}
    late = "c54"
    scene.put(
        *(
            an_entry(name, a_class(c), attempts=n if c > late else 0)
            for c, names in jobs.items()
            for n, name in enumerate(names)
        )
    )
    asked = {"c06": 22, "c13": 1}

    found = scene.ledger.waiting.candidates(Lookahead(heads=19, of=asked))

    assert {
        c.job_class.id: (c.waiting, [(head.job_id, head.attempts) for head in c.heads]) for c in found
    } == {
        c: (
            len(names),
            [(an_id(name), n if c > late else 0) for n, name in enumerate(names[: asked.get(c, 19)])],
        )
        for c, names in jobs.items()
    }
