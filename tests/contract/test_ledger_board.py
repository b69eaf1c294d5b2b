"""Leadership, the bell, node reports, rate closings and the operator's word, over Redis and over the twin."""

from __future__ import annotations

import threading
import time

import pytest
from ledger_scenes import LedgerScene, an_entry, an_id
from msgspec import structs

from conductor.model.calls import Call
from conductor.model.failure_outcome import Dead
from conductor.model.forecast import Forecast
from conductor.model.report import Device, NodeReport, QueueReport
from conductor.model.snapshot import Controls


def test_one_leads_and_the_others_stand_by(scene: LedgerScene) -> None:
    lead = scene.ledger.leadership.lead
    assert lead("conductor-1", 3600) == scene.epoch, "a renewal keeps the epoch"
    assert lead("conductor-2", 3600) is None
    assert scene.ledger.leadership.leader() == ("conductor-1", scene.epoch)
    scene.ledger.leadership.resign("conductor-2")
    assert scene.ledger.leadership.leader() == ("conductor-1", scene.epoch), (
        "only one's own lead can be given back"
    )
    began = scene.ledger.bell.now()
    assert lead("conductor-1", 3600) == scene.epoch
    assert scene.ledger.leadership.resigned_at() is None
    scene.ledger.leadership.resign("conductor-1")
    resigned_at = scene.ledger.leadership.resigned_at()
    assert resigned_at is not None and began - 0.001 <= resigned_at <= scene.ledger.bell.now()
    assert scene.ledger.leadership.leader() is None
    heard_at = scene.ledger.leadership.heard_at()
    assert heard_at is not None and began - 0.001 <= heard_at <= scene.ledger.bell.now(), (
        "it is known since when"
    )
    new = lead("a conductor with spaces", 3600)
    assert new is not None
    assert new > scene.epoch
    assert scene.ledger.leadership.leader() == ("a conductor with spaces", new)


def test_a_lead_that_is_not_renewed_passes_on(scene: LedgerScene) -> None:
    scene.ledger.leadership.lead("conductor-1", 0.02)
    scene.let(0.03)
    assert scene.ledger.leadership.leader() is None
    new = scene.ledger.leadership.lead("conductor-2", 3600)
    assert new is not None
    assert new > scene.epoch


def test_epochs_start_above_the_clock(scene: LedgerScene) -> None:
    assert scene.epoch >= (scene.ledger.bell.now() - 60) * 1000


def quiet(scene: LedgerScene) -> None:
    scene.ledger.bell.wait(0.001)
    assert scene.ledger.bell.wait(0.001) is False


def test_the_bell_rings_once_however_often_it_was_rung(scene: LedgerScene) -> None:
    quiet(scene)
    scene.ledger.bell.ring()
    scene.ledger.bell.ring()
    assert scene.ledger.bell.wait(5) is True
    assert scene.ledger.bell.wait(0.001) is False


def test_a_ring_wakes_one_who_waits(scene: LedgerScene) -> None:
    quiet(scene)
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(scene.ledger.bell.wait(30)))
    began = time.monotonic()
    waiter.start()
    scene.ledger.bell.ring()
    waiter.join(10)
    assert woken == [True]
    assert time.monotonic() - began < 5


def test_everything_the_conductor_should_look_at_rings(scene: LedgerScene) -> None:
    report = NodeReport(node="node1", host="h")
    steps = {
        "put": lambda: scene.put(an_entry("a"), an_entry("b"), an_entry("c")),
        "start": lambda: (scene.admit("a"), quiet(scene), scene.start("a")),
        "accept": lambda: scene.accept("a"),
        "fail": lambda: (scene.run("b"), quiet(scene), scene.fail("b", then=Dead())),
        "retry": lambda: scene.retry("b"),
        "rescue": lambda: (scene.admit("b", 2), quiet(scene), scene.rescue("b", 2)),
        "cancel": lambda: scene.cancel("c"),
        "report": lambda: scene.ledger.reports.publish(report, 10),
        "withdraw": lambda: scene.ledger.reports.withdraw("node1"),
        "pause": lambda: scene.ledger.control.set_paused("gpu", True),
        "drain": lambda: scene.ledger.control.set_draining(True),
        "429": lambda: scene.ledger.calls.tell_calls((Call(key="api", outcome="refused", closes_for_s=1.0),)),
        "resign": lambda: scene.ledger.leadership.resign("conductor-1"),
    }
    for name, step in steps.items():
        quiet(scene)
        step()
        assert scene.ledger.bell.wait(0.001) is True, name


def test_a_put_of_known_jobs_does_not_ring(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    quiet(scene)
    scene.put(an_entry("a"))
    assert scene.ledger.bell.wait(0.001) is False


def test_a_report_is_live_until_its_time_is_up_and_carries_the_ledgers_time(scene: LedgerScene) -> None:
    report = NodeReport(
        node="node2",
        host="big host",
        sent_at=1.0,
        devices=(Device(index=0, uuid="u", name="RTX", vram_total_mib=24576),),
        queues=(QueueReport(queue="gpu-node2-gpu0", lane="gpu", device="gpu0", workers=1),),
        notes=('a "note"',),
    )
    scene.ledger.reports.publish(report, 3600)
    scene.ledger.reports.publish(NodeReport(node="node1", host="h"), 0.02)
    first, second = scene.ledger.reports.live()
    assert (first.node, second.node) == ("node1", "node2")
    assert second.sent_at == pytest.approx(scene.ledger.bell.now(), abs=5)
    assert structs.replace(second, sent_at=1.0) == report
    scene.let(0.03)
    assert [r.node for r in scene.ledger.reports.live()] == ["node2"]
    assert scene.ledger.reports.left() == {}, "a report that ran out is not one that was taken away"
    scene.ledger.reports.withdraw("node2")
    assert scene.ledger.reports.live() == ()
    assert scene.ledger.reports.left() == {"node2": pytest.approx(scene.ledger.bell.now(), abs=5)}


def test_a_429_closes_a_rate_and_a_shorter_one_does_not_open_it(scene: LedgerScene) -> None:
    calls = scene.ledger.calls
    for key, for_s in (("api", 600), ("api", 1), ("other", 0.02)):
        calls.tell_calls((Call(key=key, outcome="refused", closes_for_s=for_s),))
    assert calls.closings()["api"] == pytest.approx(scene.ledger.bell.now() + 600, abs=5)
    scene.let(0.03)
    assert set(calls.closings()) == {"api"}
    assert calls.refusals() == {"api": 2, "other": 1}


def test_lanes_are_paused_and_nodes_drained(scene: LedgerScene) -> None:
    control = scene.ledger.control
    assert control.controls() == Controls()
    control.set_paused("cloud", True)
    control.set_paused("gpu", True)
    control.set_draining(True, "node2")
    control.set_draining(True, "node1")
    assert control.controls() == Controls(paused_lanes=("gpu", "cloud"), draining_nodes=("node1", "node2"))
    control.set_backlog_paused("gpu", True)
    control.set_backlog_paused("a/b", True)
    assert control.controls().paused_backlogs == ("a/b", "gpu")
    assert (control.controls().paused_lanes, control.controls().paused_devices) == (("gpu", "cloud"), ())
    control.set_backlog_paused("gpu", False)
    control.set_backlog_paused("a/b", False)
    control.set_paused("gpu", False)
    control.set_draining(False, "node2")
    control.set_draining(True)
    assert control.controls() == Controls(
        paused_lanes=("cloud",), is_draining=True, draining_nodes=("node1",)
    )
    control.set_draining(False)
    assert control.controls().is_draining is False


def test_threads_may_share_it(scene: LedgerScene) -> None:
    names = [f"t{n}" for n in range(40)]
    faults: list[BaseException] = []

    def put(part: list[str]) -> None:
        try:
            for name in part:
                scene.ledger.intake.put("night", [an_entry(name)])
        except BaseException as e:  # noqa: BLE001 - whatever it is, the test shall name it
            faults.append(e)

    threads = [threading.Thread(target=put, args=(names[n::4] + names[:5],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    scene.dispatched = {an_id(name) for name in names}
    assert scene.ledger.tallies.counts()["waiting"] == 40
    scene.check()


def test_the_forecast_of_a_run_replaces_the_one_before_of_the_same_backlog(scene: LedgerScene) -> None:
    first = Forecast(
        begun_at=1.0, first_made_at=2.0, first_ends_at=9.5, first_left=3, first_known=4, made_at=2.0
    )
    of_b = structs.replace(first, backlog="b", ends_at=12.25, is_rough=True)
    later = structs.replace(of_b, made_at=3.0, ends_at=None, because="the gpu lane is paused", ended_at=13.0)
    assert scene.ledger.forecasts.forecasts() == ()

    for forecast in (first, of_b, later):
        scene.ledger.forecasts.expect(forecast)

    assert scene.ledger.forecasts.forecasts() == (first, later)
    assert (later.predicted_s, later.took_s) == (8.5, 12.0)
