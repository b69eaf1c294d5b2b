"""What can never run is refused only where that is certain."""

from __future__ import annotations

from builders import GIB, a_class, a_device, a_report, a_volume

from conductor.dispatch.feasibility import never

SMALL = a_report("small", devices=(a_device(vram_total_mib=8192),))
LARGE = a_report("large", devices=(a_device(vram_total_mib=24576), a_device(1, vram_total_mib=24576)))


def test_a_job_that_fits_somewhere_is_not_refused() -> None:
    assert never(a_class("gpu", vram_mib=20_000), [SMALL, LARGE]) is None
    assert never(a_class("gpu", vram_mib=20_000, devices=2), [SMALL, LARGE]) is None


def test_vram_beyond_every_device_is_refused_with_the_smallest_that_would_do() -> None:
    why = never(a_class("gpu", vram_mib=20_000), [SMALL], headroom=512)
    assert why == "needs 20000 MiB of VRAM, the largest device offers 7680: a device of 20512 MiB would do"


def test_more_devices_than_any_node_has_is_refused() -> None:
    assert never(a_class("gpu", vram_mib=20_000, devices=3), [SMALL, LARGE]) == (
        "needs 3 devices of 20000 MiB at once, no node has so many"
    )


def test_vram_is_not_asked_where_the_gpu_lane_runs_on_the_cpu() -> None:
    assert never(a_class("gpu", vram_mib=20_000), [a_report(devices=0)]) is None


def test_a_disk_memory_or_cores_that_nobody_has_are_refused() -> None:
    assert "needs 200" in (never(a_class("cpu", cpu=200), [LARGE]) or "")
    assert "MiB of memory" in (never(a_class("cpu", ram_mib=1 << 30), [LARGE]) or "")
    why = never(a_class("cpu", scratch_bytes=60 * GIB, writes={"scratch": 60 * GIB}), [LARGE])
    assert why is not None and why.endswith(
        f"the largest such disk has {100 * GIB}: one of {120 * GIB} bytes would do"
    )


def test_what_nobody_knows_is_not_held_against_a_job() -> None:
    unknown = a_report(devices=1, volumes=(a_volume(total_bytes=None),), ram_total_mib=None)
    assert never(a_class("cpu", ram_mib=1 << 30, scratch_bytes=1 << 50), [unknown]) is None
    assert never(a_class("cpu", cpu=200), []) is None
