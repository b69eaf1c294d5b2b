"""The operator's word on a device, on both ledgers."""

from __future__ import annotations

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
