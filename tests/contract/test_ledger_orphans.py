"""Attempts that end otherwise: orphans, rescues, renewals, cancels; over Redis and over the twin."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_scenes import LedgerScene, a_class, an_entry, an_id

from conductor.model.decision import GateLedger, Hold
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import HeldReport
from conductor.model.receipt import Usage
from conductor.model.snapshot import Reservation


def orphans(scene: LedgerScene, grace_s: float) -> list[str]:
    return [r.job_id for r in scene.ledger.orphans.orphans(grace_s)]


def test_a_lease_that_ran_out_makes_an_orphan_and_a_renewal_none(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a", lease_s=0.02)
    scene.let(0.03)
    assert orphans(scene, 60) == [an_id("a")]
    assert scene.renew("a") == "ok", "late, but nobody rescued it"
    assert orphans(scene, 60) == []


def test_a_job_in_its_queue_is_no_orphan_however_long(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    scene.let(0.03)
    assert orphans(scene, 0.01) == []


def test_a_job_taken_and_never_started_is_an_orphan_after_the_grace(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    scene.let(0.06)
    scene.take("cpu-node1", "w1")
    assert orphans(scene, 0.05) == [], "it has only just been taken, though it was admitted long ago"
    scene.let(0.06)
    assert orphans(scene, 0.05) == [an_id("a")]
    assert scene.rescue("a")
    assert orphans(scene, 0.05) == []
    assert scene.heads() == ["a"]


def test_a_rescued_job_is_out_of_its_queue(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    assert scene.rescue("a", then=Dead())
    assert scene.ledger.handover.queued() == {}
    assert scene.take("cpu-node1", "w1") is None
    assert scene.state("a") == "dead"


def test_a_renewal_tells_what_the_body_does(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    note = 'cut ,"started_at":1 of "naïve", 50 %'
    usage = Usage(vram_mib=900, rss_mib=100, scratch_bytes=7_000_000_000_000, cpu_s=1.5)
    for progress in (0.25, 0.5):
        report = HeldReport(job_id=an_id("a"), attempt=1, usage=usage, progress=progress, note=note)
        assert scene.ledger.attempts.renew("w1", 30, [report]).answers == ("ok",)
        (held,) = scene.ledger.handover.reservations()
        assert (held.usage, held.progress, held.note) == (usage, progress, note)
    assert scene.renew("a") == "ok"
    assert scene.ledger.handover.reservations() == (held,), "telling nothing changes nothing"


def test_a_renewal_tells_that_the_body_stands_still_and_that_it_goes_on(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")

    def told(**frozen: Any) -> Reservation:
        report = HeldReport(job_id=an_id("a"), attempt=1, **frozen)
        assert scene.ledger.attempts.renew("w1", 30, [report]).answers == ("ok",)
        (held,) = scene.ledger.handover.reservations()
        return held

    held = told(frozen_since=1000.5, frozen_for="somebody is at this machine", frozen_s=0.0)
    assert (held.frozen_since, held.frozen_for, held.frozen_s) == (1000.5, "somebody is at this machine", 0.0)
    held = told(frozen_s=12.5)
    assert (held.frozen_since, held.frozen_for, held.frozen_s) == (None, "", 12.5)
    assert scene.rescue("a")
    scene.run("a", 2)
    (held,) = scene.ledger.handover.reservations()
    assert held.frozen_s == 0.0, "of the next attempt nothing is told yet"


# ── cancel ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_waiting_job_is_cancelled_at_once(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    assert scene.cancel("a") == "waiting"
    assert scene.state("a") == "cancelled"
    assert scene.view("a").cause == "cancelled"
    assert scene.heads() == ["b"]
    assert scene.cancel("a") == "cancelled"
    assert scene.retry("a")
    assert scene.heads() == ["a", "b"]


def test_a_job_in_a_back_off_is_cancelled_at_once(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.fail("a", then=Retry(delay_s=0.02))
    assert scene.cancel("a") == "waiting"
    scene.let(0.03)
    assert scene.heads() == []


def test_an_admitted_job_is_cancelled_out_of_its_queue(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    assert scene.cancel("a") == "admitted"
    assert scene.state("a") == "cancelled"
    assert scene.take("cpu-node1", "w1") is None


def test_a_running_job_is_told_and_then_rests_cancelled(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert scene.cancel("a") == "running"
    assert scene.state("a") == "running"
    assert scene.renew("a") == "cancel"
    assert scene.fail("a", cause="cancelled", then=Dead()) == "accepted"
    assert scene.state("a") == "cancelled"
    assert scene.view("a").cause == "cancelled"
    scene.retry("a")
    scene.run("a", 2)
    assert scene.renew("a", 2) == "ok", "the cancel is forgotten"


@pytest.mark.parametrize("how", ["fail", "rescue"])
def test_a_cancel_wins_over_a_retry(scene: LedgerScene, how: str) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.cancel("a")
    if how == "fail":
        scene.fail("a", cause="server_error", then=Retry())
    else:
        scene.rescue("a", then=Retry())
    assert scene.state("a") == "cancelled"


def test_a_receipt_wins_over_a_cancel(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.cancel("a")
    assert scene.accept("a") == "accepted"
    assert scene.state("a") == "done"
    assert scene.cancel("a") == "done"


# ── the gate ledger ───────────────────────────────────────────────────────────────────────────────────────


def test_the_gate_ledger_is_replaced_as_a_whole(scene: LedgerScene) -> None:
    hold = Hold(class_id="c1", backlog="night", task="media.cut", lane="cpu", waiting=3, verdicts=())
    gates = GateLedger(at=1.0, holds=(hold,), lost_s={"night": {"vram": 3.5}}, reports={"node1": 0.5})
    assert scene.ledger.gate_record.gates().holds == ()
    scene.ledger.gate_record.record_gates(scene.epoch, gates)
    assert scene.ledger.gate_record.gates() == gates
    scene.ledger.gate_record.record_gates(scene.epoch, GateLedger(at=2.0))
    assert scene.ledger.gate_record.gates().holds == ()


def test_a_job_that_comes_back_goes_ahead_of_all_that_came_after_it(scene: LedgerScene) -> None:
    scene.put(an_entry("first"), an_entry("delayed"), an_entry("lost"))
    scene.put(an_entry("urgent", a_class("c2", priority=5)), an_entry("late"))
    scene.run("lost")
    for name, class_id in {"first": "c1", "urgent": "c2", "late": "c1", "delayed": "c1"}.items():
        assert scene.admit(name, class_id=class_id) is None
    assert scene.rescue("lost")

    assert scene.admit("lost", attempt=2) is None

    assert queued(scene) == ["first", "urgent", "lost", "late", "delayed"]


def test_jobs_that_come_back_together_keep_their_order(scene: LedgerScene) -> None:
    names = ["a", "b", "c"]
    scene.put(*(an_entry(name) for name in [*names, "new"]))
    for name in names:
        assert scene.admit(name) is None
        assert scene.ledger.orphans.give_back(an_id(name), 1)
    assert scene.admit("new") is None

    for name in names:
        assert scene.admit(name, attempt=2) is None

    assert queued(scene) == [*names, "new"]


def queued(scene: LedgerScene) -> list[str]:
    """Names, in the order in which workers take them."""
    taken = iter(lambda: scene.take("cpu-node1", "w1"), None)
    return [job_id.removesuffix("-0000000") for job_id, _ in taken]
