"""Devices, on both ledgers: the operator's word on one, and which card it was decided for."""

from __future__ import annotations

from builders import a_device, a_report
from ledger_scenes import LedgerScene, an_entry

from conductor.ports import Ledger


def test_a_device_is_paused_and_used_again_and_lanes_are_something_else(any_ledger: Ledger):
    control = any_ledger.control
    control.set_device_paused("here/gpu0", True)
    control.set_paused("gpu", True)
    found = control.controls()
    assert (found.paused_lanes, found.paused_devices) == (("gpu",), ("here/gpu0",))
    assert control.resumed() == {}

    first = control.set_device_paused("here/gpu0", False)
    second = control.set_device_paused("here/gpu0", False)

    assert control.controls().paused_devices == ()
    assert control.controls().paused_lanes == ("gpu",)
    assert 0 < first < second and control.resumed() == {"here/gpu0": second}
    assert not control.say_resumed("here/gpu0", first) and not control.say_resumed("here/gpu0", second)
    assert control.resumed() == {"here/gpu0": second}
    assert control.say_resumed("here/gpu0", second + 5) and control.say_resumed("here/gpu1", 7)
    assert control.resumed() == {"here/gpu0": second + 5, "here/gpu1": 7}


def test_what_was_decided_for_a_card_is_not_handed_over_to_another(scene: LedgerScene):
    """Between the tick's look and the hand-over a report may have come that lists other cards."""
    put_and_report(scene, "GPU-a", "GPU-b")
    assert scene.admit("a", devices=("gpu0",), uuids=("GPU-a",)) is None

    put_and_report(scene, "GPU-b", "GPU-a")

    assert scene.admit("b", devices=("gpu0",), uuids=("GPU-a",)) == "node1/gpu0 is not GPU-a any more"
    assert (
        scene.admit("b", devices=("gpu0", "gpu1"), uuids=("GPU-b", "GPU-b"))
        == "node1/gpu1 is not GPU-b any more"
    )
    assert scene.admit("b", devices=("gpu2",), uuids=("GPU-c",)) == "node1/gpu2 is not GPU-c any more"
    assert scene.state("b") == "waiting"
    assert scene.admit("b", devices=("gpu1",), uuids=("GPU-a",)) is None
    assert scene.admit("c", devices=("gpu5",)) is None, "which card it was is not told"


def test_where_a_node_does_not_report_its_cards_are_not_known(scene: LedgerScene):
    scene.put(an_entry("a"))
    assert scene.admit("a", devices=("gpu0",), uuids=("GPU-a",)) is None


def put_and_report(scene: LedgerScene, *uuids: str) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
    devices = tuple(a_device(i, uuid=uuid) for i, uuid in enumerate(uuids))
    scene.ledger.reports.publish(a_report("node1", devices=devices), ttl_s=60.0)
