"""What is remembered of hosts and gates: what the log told, bounded, each thing once."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.app.schedules.resource_log import promises, readings
from conductor.model.decision import Shared
from conductor.model.report import Device, Measure, NodeReport, Volume
from conductor.model.resource_reading import ResourceReading, read_reading
from conductor.model.told_event import ToldEvent
from conductor.views import resource_history
from conductor.views.resource_history import LostTonight, ResourceHistory, evening_before

AT = 1_700_000_000.0
SHARED = (
    Shared(where="a/gpu0", gate="vram", unit="MiB", limit=23.0, reserved=10.0, others=2.0, free=11.0),
    Shared(where="a/scratch", gate="scratch", unit="bytes", limit=90.0, reserved=40.0, others=0.0, free=50.0),
    Shared(where="a", gate="ram", unit="MiB", limit=60.0, reserved=7.0, others=0.0, free=53.0),
    Shared(where="b/gpu0", gate="vram", unit="MiB", limit=1.0, reserved=1.0, others=0.0, free=0.0),
)
REPORT = NodeReport(
    node="a",
    host="a",
    devices=(Device(index=0, uuid="u", name="n", vram_total_mib=24, vram_used_mib=8),),
    volumes=(Volume(root="scratch", path="/s", free_bytes=30, total_bytes=100),),
    measured={"ram": Measure(total=64, free=16)},
)


def resources(at: float, used: int = 8, node: str = "a") -> ToldEvent:
    found = [str(each) for each in (*readings(REPORT), *promises("a", SHARED))]
    found = [text.replace("vram_used_mib=8", f"vram_used_mib={used}") for text in found]
    return ToldEvent(name="node.resources", at=at, fields={"node": node, "readings": found})


def lost(at: float, **seconds: float) -> ToldEvent:
    told = [str(ResourceReading(gate, "lost_s", s, None)) for gate, s in seconds.items()]
    return ToldEvent(name="gates.lost", at=at, fields={"readings": told})


@pytest.mark.parametrize("text", ["", "gpu0", "gpu0.x=", "=1/2", "x.y=one/2", "x.y=inf/2", "x.y=1/nan"])
def test_what_is_no_reading_is_passed_over(text: str) -> None:
    assert read_reading(text) is None


def test_a_reading_is_read_as_it_was_written() -> None:
    for told in (ResourceReading("gpu0", "used", 3, 24.0), ResourceReading("a.b", "free", 1.5, None)):
        assert read_reading(str(told)) == told


def test_a_device_a_disk_and_memory_each_have_a_strip() -> None:
    history = ResourceHistory()
    history.hear([resources(AT), resources(AT + 60, used=9)])
    strips = {strip.place: strip for strip in history.strips(AT)}
    gpu, ram, scratch = strips["gpu0"], strips["ram"], strips["scratch"]
    assert (gpu.used, gpu.promised, gpu.foreign) == ((8.0, 9.0), (10.0, 10.0), (2.0, 2.0))
    assert (gpu.limit, gpu.whole, gpu.unit, gpu.at) == (23.0, 24.0, "MiB", (AT, AT + 60))
    assert (ram.used[0], ram.promised[0], ram.limit) == (48.0, 7.0, 60.0)
    assert (scratch.used[0], scratch.promised[0], scratch.unit) == (70.0, 40.0, "bytes")


def test_what_was_heard_is_not_heard_twice_and_what_is_strange_is_passed_over() -> None:
    history = ResourceHistory()
    strange: list[Any] = [None, "gpu0", [3, "x"], {"a": 1}]
    history.hear([resources(AT), resources(AT), ToldEvent(name="job.done", at=AT)])
    history.hear([ToldEvent(name="node.resources", at=AT, fields={"readings": each}) for each in strange])
    assert [len(strip.at) for strip in history.strips(0)] == [1, 1, 1]


def test_memory_is_bounded_and_a_peak_is_seen_from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_history, "MOST_PLACES", 6)
    history = ResourceHistory()
    for minute in range(2000):
        history.hear([resources(AT + 60 * minute, used=20 if minute == 1500 else 1)])
    gpu = history.strips(0)[0]
    assert len(gpu.at) <= resource_history.MOST_POINTS and max(u or 0 for u in gpu.used) == 20.0
    assert gpu.at[0] >= AT + 60 * (2000 - resource_history.MOST_SAMPLES)
    for n in range(5):
        history.hear([resources(AT + 1e6 + n, node=f"new{n}")])
    assert {strip.node for strip in history.strips(0)} == {"new3", "new4"}, "the silent ones go"


def test_tonight_counts_from_the_evening_or_from_what_is_known() -> None:
    history = ResourceHistory()
    evening = evening_before(AT)
    assert history.lost_tonight({"vram": 9.0}, AT) is None
    history.hear([lost(evening - 60, vram=1.0), lost(evening + 30, vram=2.0, lane=1.0), lost(AT, vram=8.0)])
    found = history.lost_tonight({"vram": 9.0, "lane": 1.0, "rate": 3.0}, AT)
    assert found == LostTonight(since=evening + 30, lost_s={"vram": 7.0, "lane": 0.0, "rate": 3.0})
    assert history.lost_tonight({"vram": 0.5}, AT) is None, "this ledger began anew"


def test_the_last_hour_of_a_gate_is_told_in_twelve_parts():
    history = ResourceHistory()
    # Held back for a quarter of each minute of the last ten, and for longer than there is of the very last.
    costs = [15.0 * minute for minute in range(10)] + [500.0]
    history.hear([lost(AT - 60 * (10 - n), vram=cost, lane=3.0) for n, cost in enumerate(costs)])
    assert history.last_hour(AT) == {"vram": (0,) * 10 + (25, 100)}
    assert history.last_hour(AT + 7200) == {}
