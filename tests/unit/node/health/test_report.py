from __future__ import annotations

import pytest
from builders import memory
from msgspec.structs import replace

from conductor.adapters.host.host_probe import HostFacts
from conductor.model.report import Device, QueueReport, Volume
from conductor.node.health.report import (
    Identity,
    Reading,
    Workforce,
    is_news,
    make_report,
    remember,
)

GPU = Device(index=0, uuid="GPU-0", name="x", vram_total_mib=24576, vram_used_mib=100)
READING = Reading(
    devices=(GPU,),
    volumes=(Volume(root="scratch", path="/s", total_bytes=10**12, free_bytes=10**11, is_writable=True),),
    host=HostFacts(measured=memory(64000, 32000), cpu_count=16),
    notes=("a note",),
    code={"media.cut": "0.1.0+3f9a2c71"},
)
WORKFORCE = Workforce(queues=(QueueReport(queue="gpu-here-gpu0", lane="gpu", device="gpu0", workers=2),))
WHO = Identity(node="here", host="h", boot_id="b", pid=1)
REPORT = make_report(WHO, READING, WORKFORCE, 10.0)


def test_a_report_holds_all_that_was_read():
    assert (REPORT.node, REPORT.host, REPORT.boot_id, REPORT.pid, REPORT.sent_at) == (
        "here",
        "h",
        "b",
        1,
        10.0,
    )
    assert (
        REPORT.devices == (GPU,) and REPORT.volumes == READING.volumes and REPORT.queues == WORKFORCE.queues
    )
    assert (REPORT.ram_total_mib, REPORT.ram_available_mib, REPORT.cpu_count) == (64000, 32000, 16)
    assert REPORT.notes == ("a note",)
    assert REPORT.code == {"media.cut": "0.1.0+3f9a2c71"}


@pytest.mark.parametrize(
    "change",
    [
        {"code": {"media.cut": "0.1.0+new"}},
        {"devices": (replace(GPU, vram_used_mib=20000),)},
        {"devices": (replace(GPU, vram_used_mib=None),)},
        {"devices": (replace(GPU, quarantined="GPU is lost"),)},
        {"devices": ()},
        {"volumes": (replace(READING.volumes[0], fault="not mounted"),)},
        {"volumes": (replace(READING.volumes[0], free_bytes=10**10),)},
        {"queues": (replace(WORKFORCE.queues[0], workers=1),)},
        {"is_draining": True},
        {"measured": memory(64000, 1000)},
    ],
)
def test_what_could_change_a_placement_is_news(change: dict[str, object]):
    assert is_news(REPORT, replace(REPORT, **change))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sent_at": 99.0},
        {"devices": (replace(GPU, vram_used_mib=300),)},
        {"measured": memory(64000, 31900)},
    ],
)
def test_what_hardly_moved_is_no_news(change: dict[str, object]):
    assert not is_news(REPORT, replace(REPORT, **change))


def test_the_first_report_is_news():
    assert is_news(None, REPORT)


def test_a_device_that_is_gone_stays_in_the_report_with_the_reason():
    other = replace(GPU, index=1, uuid="GPU-1")
    assert remember((GPU, other), (other,), "driver lost") == (
        replace(GPU, vram_used_mib=None, quarantined="driver lost"),
        other,
    )


def test_a_device_in_error_keeps_the_name_and_size_it_had():
    nameless = Device(index=0, uuid="", name="", vram_total_mib=0, quarantined="GPU is lost")
    assert remember((GPU,), (nameless,), "") == (replace(GPU, vram_used_mib=None, quarantined="GPU is lost"),)
    assert remember((replace(GPU, quarantined="GPU is lost"),), (GPU,), "") == (GPU,)
