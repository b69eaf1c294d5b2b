"""A checker is checked: one fault of each kind is planted and named, nobody else accused; a busy system is
sound.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count

import msgspec
import pytest
from audit_scene import PLANTED, QUEUE, STATE, AuditScene, bad, edit
from builders import a_report
from ledger_scenes import LedgerScene, a_receipt, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.open_ledger import redis_ledger
from conductor.adapters.redis.scans import full_ledger_chunked
from conductor.adapters.redis.scans.full_ledger_chunked import read_full_ledger
from conductor.adapters.redis.scripts import Scripts
from conductor.base.settings.settings import Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.recovery import audit


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


@pytest.fixture
def world(project: Settings, ledger: Ledger, redis_url: str) -> Iterator[AuditScene]:
    with Redis.from_url(redis_url, protocol=2) as redis:
        world = AuditScene(redis, ledger, project)
        yield world
        world.log.close()


def test_a_sound_system_of_every_state_is_sound(world: AuditScene) -> None:
    report = world.audit(is_hashing=True)
    assert bad(report) == {}
    assert report.is_sound


# ── planted in Redis ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_redis_is_named_and_nothing_else(world: AuditScene, name: str) -> None:
    plant, wanted = PLANTED[name]
    plant(world)

    found = bad(world.audit())

    assert found.keys() == wanted.keys(), found
    for check, words in wanted.items():
        assert len(found[check]) == 1, found
        assert found[check][0].startswith(words)


# ── planted on disk ───────────────────────────────────────────────────────────────────────────────────────


def test_done_without_a_receipt_is_named(world: AuditScene) -> None:
    world.log.file.unlink()
    assert [f.split(":")[0] for f in bad(world.audit())["receipts"]] == [an_id("d")]


def test_a_receipt_that_nobody_accepted_is_named(world: AuditScene) -> None:
    world.log.append(a_receipt("r"))
    (fault,) = bad(world.audit())["receipts"]
    assert fault == f"{an_id('r')}: is running, though the receipt of attempt 1 says it is done"


def test_two_receipts_that_stand_are_named(world: AuditScene) -> None:
    world.log.append(a_receipt("d", 2))
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith(f"{an_id('d')}: attempts 1, 2 each count as done")
    world.log.append(a_receipt("d", 2, "superseded"))
    assert bad(world.audit()) == {}


def test_two_bodies_of_one_number_are_named_and_so_is_one_that_the_ledger_did_not_accept(
    world: AuditScene,
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


def test_done_by_an_attempt_whose_receipt_is_not_there_is_named(world: AuditScene) -> None:
    edit(world, "d", "d|1|", "d|7|")
    world.redis.hset(STATE, an_id("d"), world.redis.hget(STATE, an_id("d"))[:-1] + b"7")
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith(f"{an_id('d')}: is done by attempt 7")


def test_a_garbled_receipt_is_named_by_its_line_and_a_torn_tail_is_not(world: AuditScene) -> None:
    with world.log.file.open("ab") as file:
        file.write(b"garbage\n")
        file.write(b'{"v":1,"job_id":"half')
    (fault,) = bad(world.audit())["receipts"]
    assert fault.startswith("w1.jsonl:2: ")


@pytest.mark.parametrize("how", ["missing", "bytes", "regular"])
def test_an_output_that_is_not_as_published_is_named(world: AuditScene, how: str) -> None:
    file = world.file("d")
    file.unlink()
    if how == "bytes":
        file.write_bytes(b"longer")
    elif how == "regular":
        file.symlink_to("/dev/null")
    (fault,) = bad(world.audit())["outputs"]
    assert fault.startswith(an_id("d"))


def test_an_output_of_the_same_size_is_only_told_apart_by_its_hash(world: AuditScene) -> None:
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


#: What looks wrong is looked at again for so long.
LOOKS_S = 3.0


def test_a_busy_system_raises_no_false_alarm(project: Settings, ledger: Ledger, redis_url: str) -> None:
    over = threading.Event()
    errors: list[BaseException] = []
    rounds: list[int] = []

    def busy() -> None:
        try:
            with Redis.from_url(redis_url, protocol=2) as redis:
                log = FileReceiptLog(project.receipts_dir, "w1")
                work(redis_scene(redis, redis_ledger(redis)), log, over, rounds)
        except BaseException as e:  # noqa: BLE001
            errors.append(e)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with Redis.from_url(redis_url, protocol=2) as redis:
            scripts = Scripts(redis)
            ledger.reports.publish(a_report(), 60)
            for _ in range(30):
                before, began = len(rounds), time.monotonic()
                report = audit.audit_live(ledger, lambda: read_full_ledger(scripts), project.layout, False)
                # Where the other one stood still for all of that (a disk that syncs for seconds), what it
                # left half done is no false alarm.
                stood_still = len(rounds) - before < 2 and time.monotonic() > began + LOOKS_S
                assert bad(report) == {} or stood_still
    finally:
        over.set()
        thread.join()
    assert errors == [] and rounds


def work(scene: LedgerScene, log: FileReceiptLog, over: threading.Event, rounds: list[int]) -> None:
    """Jobs through all of their lives, as fast as it goes; the ledger of the scene is not checked on the
    way.
    """
    scene.check = lambda: None  # type: ignore[method-assign]
    for n in count(1):
        if over.is_set():
            break
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
        rounds.append(n)
    log.close()
