"""What a receipt proves is not run again: workers killed before their `accept`, a Redis that lost its last second."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from ledger_scenes import LEASE_S, Scene, a_receipt, an_entry, an_id, redis_scene
from redis import Redis

from conductor.adapters.receipt_log import ReceiptLog
from conductor.ports import Ledger
from conductor.reconcile import BLOCK_BYTES, Reconciler, receipts_since


@pytest.fixture
def scene(ledger: Ledger, redis_url: str) -> Scene:
    return redis_scene(Redis.from_url(redis_url, protocol=2), ledger)


class Disk:
    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.reconciler = Reconciler(ledger, folder)

    def ok(self, name: str, attempt: int = 1, writer: str = "w1", age_s: float = 0.0, **more: object) -> None:
        at = self.ledger.bell.now() - age_s
        receipt = msgspec.structs.replace(a_receipt(name, attempt), started_at=at, ended_at=at, **more)  # type: ignore[arg-type]
        log = ReceiptLog(self.folder, writer)
        log.append(receipt)
        log.close()


@pytest.fixture
def disk(ledger: Ledger, tmp_path: Path) -> Disk:
    return Disk(ledger, tmp_path / "receipts")


def test_who_takes_the_lead_hands_in_what_active_workers_could_not(scene: Scene, disk: Disk) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    scene.run("b", worker="w2")
    disk.ok("a")
    assert disk.reconciler.catch_up() == 1
    assert (scene.state("a"), scene.state("b")) == ("done", "running")
    assert disk.reconciler.catch_up() == 0, "twice is once"


def test_a_last_second_that_redis_lost_is_made_good(scene: Scene, disk: Disk) -> None:
    scene.put(an_entry("a"), an_entry("old"))
    disk.ok("old", age_s=60)
    disk.ok("a")
    assert disk.reconciler.catch_up() == 1
    assert (scene.state("a"), scene.state("old")) == ("done", "waiting")


def test_an_orphan_whose_receipt_is_on_disk_is_done_and_no_other(scene: Scene, disk: Disk) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
    for name in "abc":
        scene.run(name, lease_s=0.01)
    disk.ok("a")
    disk.ok("b", outcome="failed", cause="task_error")
    disk.ok("c")
    disk.ok("c", outcome="superseded")
    scene.let(0.02)
    orphans = disk.ledger.handover.orphans(LEASE_S)
    assert len(orphans) == 3
    assert disk.reconciler.settled(orphans) == {an_id("a")}
    assert [scene.state(n) for n in "abc"] == ["done", "running", "running"]


def test_without_any_receipts_there_is_nothing_to_hand_in(scene: Scene, disk: Disk) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert disk.reconciler.catch_up() == 0


@pytest.mark.parametrize("count", [1, 3, 2000])
def test_a_long_file_is_read_from_its_end_and_no_line_is_lost(disk: Disk, count: int) -> None:
    now = disk.ledger.bell.now()
    log = ReceiptLog(disk.folder, "w1")
    for n in range(count):
        log.append(msgspec.structs.replace(a_receipt(f"j{n}"), started_at=now, ended_at=now - (count - n)))
    log.close()
    assert count < 2000 or log.file.stat().st_size > 4 * BLOCK_BYTES
    for wanted in {0, 1, count // 2, count}:
        found = list(receipts_since(log.file, now - wanted))
        assert len(found) == wanted
