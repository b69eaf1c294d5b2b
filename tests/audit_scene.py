"""A sound system of every state, and the faults that are planted in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
from builders import a_report
from ledger_scenes import a_class, a_receipt, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.redis.scans.full_ledger_chunked import read_full_ledger
from conductor.adapters.redis.scripts import Scripts
from conductor.base.settings.settings import Settings
from conductor.model.failure_outcome import Retry
from conductor.model.receipt import OutputFact
from conductor.ports import Ledger
from conductor.recovery import audit

QUEUE = "cpu-node1"


class AuditScene:
    """A waiting (w), a delayed (y), a bound (b), an admitted (a), a running (r), a dead (x) and a done job
    (d).
    """

    def __init__(self, redis: Redis, ledger: Ledger, settings: Settings) -> None:
        self.redis = redis
        self.ledger = ledger
        self.settings = settings
        self.log = FileReceiptLog(settings.receipts_dir, "w1")
        self.scene = scene = redis_scene(redis, ledger)
        ledger.reports.publish(a_report(), 60)
        scene.put(*(an_entry(name) for name in "wyarxd"), an_entry("b", after=(an_id("w"),)))
        scene.run("y")
        scene.fail("y", then=Retry(delay_s=600))
        scene.run("x")
        self.ledger.attempts.fail(a_receipt("x", outcome="failed", cause="bad_input"), audit_dead())
        scene.run("d")
        self.done("d")
        scene.run("r")
        scene.admit("a", disk={"scratch": 1000})

    def file(self, name: str) -> Path:
        return self.settings.roots["scratch"].path / f"{an_id(name)}.txt"

    def done(self, name: str, attempt: int = 1) -> None:
        content = name.encode()
        self.file(name).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        fact = OutputFact(path=f"scratch:{an_id(name)}.txt", bytes=len(content), sha256=sha256)
        receipt = msgspec.structs.replace(a_receipt(name, attempt), outputs=(fact,))
        self.log.append(receipt)
        assert self.ledger.attempts.accept(receipt) == "accepted"

    def audit(self, is_hashing: bool = False) -> audit.AuditReport:
        scripts = Scripts(self.redis)
        return audit.audit_live(
            self.ledger, lambda: read_full_ledger(scripts), self.settings.layout, is_hashing
        )


def audit_dead() -> object:
    from conductor.model.failure_outcome import Dead

    return Dead()


Plant = Callable[[AuditScene], object]


STATE, ACTIVE = "conductor:state", "conductor:reservations"


def edit(world: AuditScene, name: str, old: str, new: str) -> None:
    text = world.redis.hget(STATE, an_id(name)).decode()
    assert old in text
    world.redis.hset(STATE, an_id(name), text.replace(old, new, 1))


def told_apart(world: AuditScene, name: str, **changes: object) -> None:
    held = msgspec.json.decode(world.redis.hget(ACTIVE, an_id(name)))
    world.redis.hset(ACTIVE, an_id(name), msgspec.json.encode(held | changes))


#: What is planted → the checks that must name it, and whom they name; no other check may speak.
PLANTED: dict[str, tuple[Plant, dict[str, str]]] = {
    "a lost job": (
        lambda w: (w.redis.hdel(STATE, an_id("x")), w.redis.hdel("conductor:jobs", an_id("x"))),
        {
            "conservation": "night: 1 counted as dead, 0 there",
            "places": f"{an_id('x')}: is in set of the dead",
        },
    ),
    "a dead job that is not found among the dead": (
        lambda w: w.redis.srem("conductor:by_state:x", an_id("x")),
        {"places": f"{an_id('x')}: is dead and nowhere"},
    ),
    "a waiting job that is found among the dead": (
        lambda w: w.redis.sadd("conductor:by_state:x", an_id("w")),
        {"places": f"{an_id('w')}: is waiting and in class 1 and set of the dead"},
    ),
    "a job without its line": (
        lambda w: w.redis.hdel("conductor:jobs", an_id("w")),
        {"conservation": an_id("w")},
    ),
    "a state nobody can read": (
        lambda w: (w.redis.hset(STATE, an_id("x"), "?"), w.redis.hincrby("conductor:count:night", "x", -1)),
        {"conservation": an_id("x")},
    ),
    "a count that is off": (
        lambda w: w.redis.hincrby("conductor:count:night", "d", 1),
        {"conservation": "night: 2 counted"},
    ),
    "a cause that is counted once too often": (
        lambda w: w.redis.hincrby("conductor:causes:night", "bad_input", 1),
        {"causes": "night: 2 counted as dead of bad_input, 1 there"},
    ),
    "a job that waits and has a cause of death": (
        lambda w: w.redis.hset("conductor:dead_by_own_cause", an_id("w"), "stalled"),
        {"causes": f"{an_id('w')}: is noted as dead of stalled and is waiting"},
    ),
    "a waiting job in no place": (
        lambda w: (w.redis.zrem("conductor:class:1", an_id("w")), w.redis.srem("conductor:ready", "1")),
        {"places": f"{an_id('w')}: is waiting and nowhere"},
    ),
    "a job in two places": (
        lambda w: w.redis.zadd("conductor:delayed", {an_id("w"): 9e15}),
        {"places": f"{an_id('w')}: is waiting and in class 1 and delayed"},
    ),
    "a dead job that could be admitted": (
        lambda w: w.redis.zadd("conductor:class:1", {an_id("x"): 1}),
        {"places": an_id("x")},
    ),
    "a class nobody looks at": (lambda w: w.redis.srem("conductor:ready", "1"), {"places": "class 1"}),
    "a running job without a lease": (
        lambda w: w.redis.zrem("conductor:leases", an_id("r")),
        {"places": an_id("r")},
    ),
    "a lease of nobody": (
        lambda w: w.redis.zadd("conductor:leases", {an_id("q"): 9e15}),
        {"places": f"{an_id('q')}: is in leased and is no job"},
    ),
    "an attempt of the wrong number": (lambda w: edit(w, "r", "r|1|", "r|2|"), {"reservations": an_id("r")}),
    "a reservation of a job that is over": (
        lambda w: (
            w.redis.hset(ACTIVE, an_id("x"), w.redis.hget(ACTIVE, an_id("a")).replace(b"a-0", b"x-0")),
            w.redis.hset("conductor:charges", an_id("x"), w.redis.hget("conductor:charges", an_id("a"))),
            [
                w.redis.hincrby("conductor:reserved", k, n)
                for k, n in (("node1:cpu_milli", 1000), ("node1:ram_mib", 100), ("node1/scratch:bytes", 1000))
            ],
            w.redis.hset(f"rq:job:{an_id('x')}-a1", mapping={"status": "queued", "origin": QUEUE}),
        ),
        {"reservations": an_id("x")},
    ),
    "a charge that is not the reservation's": (
        lambda w: told_apart(w, "a", cpu=3.0),
        {"reservations": an_id("a")},
    ),
    "a sum that is off": (
        lambda w: w.redis.hincrby("conductor:reserved", "node1:cpu_milli", 5),
        {"sums": "node1:cpu_milli: 2005"},
    ),
    "a sum of nothing": (
        lambda w: w.redis.hset("conductor:reserved", "gone:ram_mib", 7),
        {"sums": "gone:ram_mib"},
    ),
    "a queue entry of nobody": (
        lambda w: w.redis.rpush(f"rq:queue:{QUEUE}", f"{an_id('d')}-a1"),
        {"queues": f"{an_id('d')}-a1"},
    ),
    "a queue entry twice": (
        lambda w: w.redis.rpush(f"rq:queue:{QUEUE}", f"{an_id('a')}-a1"),
        {"queues": f"{an_id('a')}-a1: lies 2 times"},
    ),
    "an RQ job that is gone": (lambda w: w.redis.delete(f"rq:job:{an_id('r')}-a1"), {"queues": an_id("r")}),
    "an RQ job in a wrong state": (
        lambda w: w.redis.hset(f"rq:job:{an_id('a')}-a1", "status", "started"),
        {"queues": an_id("a")},
    ),
    "one that RQ shows as running and does not": (
        lambda w: w.redis.zadd(f"rq:wip:{QUEUE}", {f"{an_id('d')}-a1:1": 9e15}),
        {"queues": f"{an_id('d')}-a1"},
    ),
    "a lease that ran out and nobody cared": (
        lambda w: w.redis.zadd("conductor:leases", {an_id("r"): 5}),
        {"leases": an_id("r")},
    ),
    "a disk that is overbooked": (
        lambda w: (
            w.scene.put(an_entry("z", a_class("c2")))
            and w.scene.admit("z", class_id="c2", disk={"scratch": 1 << 50})
        ),
        {"ceilings": "node1/scratch:bytes"},
    ),
    "a worker that no node reports": (lambda w: w.ledger.reports.withdraw("node1"), {"workers": an_id("r")}),
}


def bad(report: audit.AuditReport) -> dict[str, tuple[str, ...]]:
    """The faults by check, of the checks that found some."""
    assert report.is_sound == all(check.is_sound for check in report.checks)
    return {check.name: check.faults for check in report.checks if not check.is_sound}
