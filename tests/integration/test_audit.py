"""A checker is checked: one fault of each kind is planted and named, nobody else accused; a busy system is
sound.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from audit_scene import bad
from builders import a_report
from ledger_scenes import Scene, a_class, a_receipt, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.open_ledger import redis_ledger
from conductor.adapters.redis.scans import full_ledger_chunked
from conductor.adapters.redis.scans.full_ledger_chunked import read_full_ledger
from conductor.adapters.redis.scripts import Scripts
from conductor.base.settings.settings import Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.model.failure_outcome import Retry
from conductor.model.receipt import OutputFact
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.recovery import audit

QUEUE = "cpu-node1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAUSES_S", (0.01, 0.02))


@pytest.fixture(autouse=True, params=["at one instant", "in pieces"])
def way_of_reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A large ledger is read in pieces: every fault is found there as well."""
    if request.param == "in pieces":
        monkeypatch.setattr(full_ledger_chunked, "AT_ONCE", 0)
        monkeypatch.setattr(full_ledger_chunked, "PIECE", 3)
    return request.param


class World:
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


@pytest.fixture
def world(project: Settings, ledger: Ledger, redis_url: str) -> Iterator[World]:
    with Redis.from_url(redis_url, protocol=2) as redis:
        world = World(redis, ledger, project)
        yield world
        world.log.close()


def test_a_sound_system_of_every_state_is_sound(world: World) -> None:
    report = world.audit(is_hashing=True)
    assert bad(report) == {}
    assert report.is_sound


# ── planted in Redis ──────────────────────────────────────────────────────────────────────────────────────

Plant = Callable[[World], object]
STATE, ACTIVE = "conductor:state", "conductor:reservations"


def edit(world: World, name: str, old: str, new: str) -> None:
    text = world.redis.hget(STATE, an_id(name)).decode()
    assert old in text
    world.redis.hset(STATE, an_id(name), text.replace(old, new, 1))


def told_apart(world: World, name: str, **changes: object) -> None:
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


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_redis_is_named_and_nothing_else(world: World, name: str) -> None:
    plant, wanted = PLANTED[name]
    plant(world)

    found = bad(world.audit())

    assert found.keys() == wanted.keys(), found
    for check, words in wanted.items():
        assert len(found[check]) == 1, found
        assert found[check][0].startswith(words)


# ── planted on disk ───────────────────────────────────────────────────────────────────────────────────────


def test_done_without_a_receipt_is_named(world: World) -> None:
    world.log.file.unlink()
    assert [f.split(":")[0] for f in bad(world.audit())["receipts"]] == [an_id("d")]


def test_a_receipt_that_nobody_accepted_is_named(world: World) -> None:
    world.log.append(a_receipt("r"))
    (fault,) = bad(world.audit())["receipts"]
    assert fault == f"{an_id('r')}: is running, though the receipt of attempt 1 says it is done"


def test_two_receipts_that_stand_are_named(world: World) -> None:
    world.log.append(a_receipt("d", 2))
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith(f"{an_id('d')}: attempts 1, 2 each count as done")
    world.log.append(a_receipt("d", 2, "superseded"))
    assert bad(world.audit()) == {}


def test_two_bodies_of_one_number_are_named_and_so_is_one_that_the_ledger_did_not_accept(
    world: World,
) -> None:
    twice = msgspec.structs.replace(a_receipt("d", 1), token="0123abcd")
    world.log.append(twice)
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith(f"{an_id('d')}: 2 receipts of attempt 1 each count as done")
    world.log.append(msgspec.structs.replace(twice, outcome="superseded"))
    assert bad(world.audit()) == {}
    world.redis.hset(STATE, an_id("d"), world.redis.hget(STATE, an_id("d")) + b".ffffffff")
    world.log.append(msgspec.structs.replace(a_receipt("d", 1), outcome="superseded"))
    world.log.append(msgspec.structs.replace(twice, token="0000ffff"))
    (fault,) = bad(world.audit())["receipts"]
    assert "of which no receipt stands" in fault


def test_done_by_an_attempt_whose_receipt_is_not_there_is_named(world: World) -> None:
    edit(world, "d", "d|1|", "d|7|")
    world.redis.hset(STATE, an_id("d"), world.redis.hget(STATE, an_id("d"))[:-1] + b"7")
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith(f"{an_id('d')}: is done by attempt 7")


def test_a_garbled_receipt_is_named_by_its_line_and_a_torn_tail_is_not(world: World) -> None:
    with world.log.file.open("ab") as file:
        file.write(b"garbage\n")
        file.write(b'{"v":1,"job_id":"half')
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith("w1.jsonl:2: ")


@pytest.mark.parametrize("how", ["missing", "bytes", "regular"])
def test_an_output_that_is_not_as_published_is_named(world: World, how: str) -> None:
    file = world.file("d")
    file.unlink()
    if how == "bytes":
        file.write_bytes(b"longer")
    elif how == "regular":
        file.symlink_to("/dev/null")
    (fault,) = bad(world.audit())["outputs"]
    assert fault.startswith(an_id("d"))


def test_an_output_of_the_same_size_is_only_told_apart_by_its_hash(world: World) -> None:
    world.file("d").write_bytes(b"!")
    assert bad(world.audit()) == {}
    assert [f.split(":")[0] for f in bad(world.audit(is_hashing=True))["outputs"]] == [an_id("d")]


def test_a_job_that_was_dispatched_and_is_nowhere_is_named(
    project: Settings, ledger: Ledger, redis_url: str
) -> None:
    from builders import a_spec

    specs = [a_spec(n) for n in range(3)]
    path = project.project / "m.jsonl"
    for content in (specs, specs[2:]):  # the second hides nothing of the first
        manifest.write(path, content)
        dispatch(ledger, path, "night", load_catalogue(), project.receipts_dir)
    with Redis.from_url(redis_url, protocol=2) as redis:
        for key in (STATE, "conductor:jobs"):
            redis.hdel(key, specs[1].id)
        redis.hincrby("conductor:count:night", "w", -1)
        redis.zrem("conductor:class:1", specs[1].id)
        scripts = Scripts(redis)
        report = audit.audit_live(ledger, lambda: read_full_ledger(scripts), project.layout, False)
    assert bad(report) == {"dispatched": (f"{specs[1].id}: was dispatched with m.jsonl and is nowhere",)}


def test_what_was_dispatched_and_can_no_more_be_told_is_said(
    project: Settings, ledger: Ledger, redis_url: str
) -> None:
    from builders import a_spec

    path = project.project / "m.jsonl"
    manifest.write(path, [a_spec(1)])
    dispatch(ledger, path, "night", load_catalogue(), project.receipts_dir)
    path.write_text("")
    for file in (project.receipts_dir / "manifests").iterdir():
        file.unlink()
    with Redis.from_url(redis_url, protocol=2) as redis:
        scripts = Scripts(redis)
        report = audit.audit_live(ledger, lambda: read_full_ledger(scripts), project.layout, False)
    assert "nobody can tell" in bad(report)["dispatched"][0]


# ── a system at work is sound ─────────────────────────────────────────────────────────────────────────────


def test_a_busy_system_raises_no_false_alarm(project: Settings, ledger: Ledger, redis_url: str) -> None:
    over = threading.Event()
    errors: list[BaseException] = []

    def busy() -> None:
        try:
            with Redis.from_url(redis_url, protocol=2) as redis:
                work(
                    redis_scene(redis, redis_ledger(redis)), FileReceiptLog(project.receipts_dir, "w1"), over
                )
        except BaseException as e:  # noqa: BLE001
            errors.append(e)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with Redis.from_url(redis_url, protocol=2) as redis:
            scripts = Scripts(redis)
            ledger.reports.publish(a_report(), 60)
            for _ in range(30):
                report = audit.audit_live(ledger, lambda: read_full_ledger(scripts), project.layout, False)
                assert bad(report) == {}
    finally:
        over.set()
        thread.join()
    assert errors == []


def work(scene: Scene, log: FileReceiptLog, over: threading.Event) -> None:
    """Jobs through all of their lives, as fast as it goes; the ledger of the scene is not checked on the
    way.
    """
    scene.check = lambda: None  # type: ignore[method-assign]
    n = 0
    while not over.is_set():
        n += 1
        done, failed, rescued = (f"{kind}{n}" for kind in ("done", "fail", "resc"))
        scene.put(*(an_entry(name) for name in (done, failed, rescued)))
        for name in (done, failed, rescued):
            assert scene.admit(name) is None
            assert scene.take(QUEUE, "w1") is not None
            scene.start(name)
        log.append(a_receipt(done))
        assert scene.accept(done) == "accepted"
        scene.fail(failed)
        scene.rescue(rescued)
        scene.cancel(rescued)
    log.close()
