"""What a receipt proves is not run again: workers killed before their `accept`, a Redis that lost its last
second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from ledger_scenes import LEASE_S, LedgerScene, a_receipt, an_entry, an_id, redis_scene
from loguru import logger
from node_scene import until
from redis import Redis

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.rates.rates import memory_rates
from conductor.base.settings.sections import Timing
from conductor.model.causes import Cause
from conductor.model.ledger_entries import JobView
from conductor.model.limits import Limits
from conductor.ports import Ledger
from conductor.record.ledger_identity import Guard
from conductor.recovery import reconcile
from conductor.recovery.reconcile import BLOCK_BYTES, Reconciler, receipts_since
from conductor.tick.loop import Conductor, RunEnd


@pytest.fixture
def scene(ledger: Ledger, redis_url: str) -> LedgerScene:
    return redis_scene(Redis.from_url(redis_url, protocol=2), ledger)


class Disk:
    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.reconciler = Reconciler(ledger, folder)

    def ok(self, name: str, attempt: int = 1, writer: str = "w1", age_s: float = 0.0, **more: object) -> None:
        at = self.ledger.bell.now() - age_s
        receipt = msgspec.structs.replace(a_receipt(name, attempt), started_at=at, ended_at=at, **more)  # type: ignore[arg-type]
        log = FileReceiptLog(self.folder, writer)
        log.append(receipt)
        log.close()


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(
        lambda message: lines.append(message.record["message"]), level="INFO", format="{message}"
    )
    yield lines
    logger.remove(sink)


@pytest.fixture
def disk(ledger: Ledger, tmp_path: Path) -> Disk:
    return Disk(ledger, tmp_path / "receipts")


def test_who_takes_the_lead_hands_in_what_active_workers_could_not(scene: LedgerScene, disk: Disk) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    scene.run("b", worker="w2")
    disk.ok("a")
    assert disk.reconciler.catch_up() == 1
    assert (scene.state("a"), scene.state("b")) == ("done", "running")
    assert disk.reconciler.catch_up() == 0, "twice is once"


def test_a_last_second_that_redis_lost_is_made_good(scene: LedgerScene, disk: Disk) -> None:
    scene.put(an_entry("a"), an_entry("old"))
    disk.ok("old", age_s=60)
    disk.ok("a")
    assert disk.reconciler.catch_up() == 1
    assert (scene.state("a"), scene.state("old")) == ("done", "waiting")


def test_an_orphan_whose_receipt_is_on_disk_is_done_and_no_other(scene: LedgerScene, disk: Disk) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
    for name in "abc":
        scene.run(name, lease_s=0.01)
    disk.ok("a")
    disk.ok("b", outcome="failed", cause="task_error")
    disk.ok("c")
    disk.ok("c", outcome="superseded")
    scene.let(0.02)
    orphans = disk.ledger.orphans.orphans(LEASE_S)
    assert len(orphans) == 3
    assert disk.reconciler.settled(orphans) == {an_id("a")}
    assert [scene.state(n) for n in "abc"] == ["done", "running", "running"]


def test_many_receipts_that_are_new_to_a_leader_are_asked_for_together_and_said(
    scene: LedgerScene, disk: Disk, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """One by one, 100,000 of jobs that this ledger does not know cost 25 s of silence before the first
    job.
    """
    monkeypatch.setattr(reconcile, "SAY_EVERY_S", 0.0)
    scene.put(*(an_entry(f"j{n}") for n in range(0, 600, 2)), an_entry("was", is_done=True, attempts=1))
    now = disk.ledger.bell.now()
    receipts = [
        msgspec.structs.replace(a_receipt(n), ended_at=now) for n in ("was", *(f"j{n}" for n in range(600)))
    ]
    disk.folder.mkdir()
    (disk.folder / "w1.jsonl").write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in receipts))
    monkeypatch.setattr(disk.ledger.jobs, "job", None)
    monkeypatch.setattr(disk.ledger.attempts, "accept", None)

    assert disk.reconciler.catch_up() == 300

    monkeypatch.undo()
    assert {scene.state(f"j{n}") for n in range(0, 600, 2)} == {"done"}
    assert disk.reconciler.catch_up() == 0
    assert "Taking in receipts before anything is started: 200 of 601" in said
    told = [line for line in said if line.startswith("Done by")]
    assert 5 < len(told) <= 6 * 4, "a few by name, of the rest the number"


def test_without_any_receipts_there_is_nothing_to_hand_in(scene: LedgerScene, disk: Disk) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert disk.reconciler.catch_up() == 0


@pytest.mark.parametrize("count", [1, 3, 2000])
def test_a_long_file_is_read_from_its_end_and_no_line_is_lost(disk: Disk, count: int) -> None:
    now = disk.ledger.bell.now()
    log = FileReceiptLog(disk.folder, "w1")
    for n in range(count):
        log.append(msgspec.structs.replace(a_receipt(f"j{n}"), started_at=now, ended_at=now - (count - n)))
    log.close()
    assert count < 2000 or log.file.stat().st_size > 4 * BLOCK_BYTES
    for wanted in {0, 1, count // 2, count}:
        found = list(receipts_since(log.file, now - wanted))
        assert len(found) == wanted


# ── the conductor asks it ─────────────────────────────────────────────────────────────────────────────────


def no_budgets(_: JobView) -> dict[Cause, int]:
    return {}


def a_conductor(disk: Disk, **more: object) -> Conductor:
    timing = Timing(tick_s=0.05, leader_ttl_s=2.0, admitted_grace_s=0.05)
    rates = memory_rates(disk.ledger.calls, {})
    return Conductor(
        disk.ledger, rates, Limits(), timing, "one", reconciler=disk.reconciler, overrides=no_budgets, **more
    )  # type: ignore[arg-type]


def test_a_conductor_does_not_run_again_what_a_lost_host_has_proved(scene: LedgerScene, disk: Disk) -> None:
    scene.ledger.leadership.resign("conductor-1")
    scene.put(an_entry("b"))
    conductor = a_conductor(disk)
    scene.epoch = conductor.tick() and scene.ledger.leadership.leader()[1]  # type: ignore[index]
    scene.put(an_entry("a"))
    scene.run("a", lease_s=0.01)
    scene.run("b", lease_s=0.01)
    disk.ok("a")
    scene.let(0.02)
    conductor.tick()
    assert (scene.state("a"), scene.state("b")) == ("done", "waiting")
    assert scene.view("b").cause == "worker_lost"


def test_an_emptied_ledger_is_not_called_done(scene: LedgerScene, disk: Disk, redis_url: str) -> None:
    scene.ledger.leadership.resign("conductor-1")
    scene.ledger.identity.generation("first")
    scene.put(an_entry("a"))
    conductor = a_conductor(disk, guard=Guard(disk.ledger, disk.folder).reason)
    ended: list[RunEnd] = []
    over = threading.Event()
    thread = threading.Thread(target=lambda: ended.append(conductor.run(True, over.is_set)), daemon=True)
    thread.start()
    try:
        until(lambda: disk.ledger.leadership.leader() is not None)
        with Redis.from_url(redis_url, protocol=2) as client:
            client.flushall()
        assert not until_quiet(lambda: not ended)
        scene.dispatched = set()
        scene.put(an_entry("a", is_done=True, attempts=1))
        disk.ledger.identity.generation("second")
        thread.join(10)
        assert [e.is_done for e in ended] == [True], "rebuilt, and there it is done"
    finally:
        over.set()
        thread.join(10)


def until_quiet(is_so: Callable[[], bool], for_s: float = 0.5) -> bool:
    """True as soon as it is not so any more; False when it stayed so."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        if not is_so():
            return True
        time.sleep(0.01)
    return False
