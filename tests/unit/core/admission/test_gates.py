"""One table per gate of a place: what is asked, and the answer with its numbers. Through `decide`, as users
meet it.
"""

from __future__ import annotations

from typing import Any

import pytest
from asked import LIMITS, admitted, held, only
from builders import (
    GIB,
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_report,
    a_reservation,
    a_snapshot,
    a_volume,
)

from conductor.core.admission.admission import decide
from conductor.core.admission.explain import explain
from conductor.core.admission.sentences import words_of
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.receipt import Usage

# ── vram ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("device", "running", "have", "message"),
    [
        # Two of ten GiB, none of it taken yet: reserve, do not look.
        ({"vram_used_mib": 0}, [None, None], 3584, ""),
        # The same, taken and measured: counted once.
        ({"vram_used_mib": 20480}, [10240, 10240], 3584, ""),
        # Measured on the device, unknown for the attempts: nobody can say whose it is.
        ({"vram_used_mib": 20480}, [None, None], 0, "20.0 GiB used by others"),
        # Half taken: the rest is still theirs.
        ({"vram_used_mib": 10240}, [5120, 5120], 3584, ""),
        ({"vram_used_mib": 20480}, [], 3584, "20.0 GiB used by others"),
        # Used cannot be read: then only what was reserved counts.
        ({"vram_used_mib": None}, [None, None], 3584, ""),
    ],
)
def test_vram_free_is_the_limit_less_reserved_less_foreign(
    device: dict[str, Any], running: list[int | None], have: int, message: str
) -> None:
    reservations = tuple(
        a_reservation(f"job-{i:08d}", vram_mib=10240, usage=None if used is None else Usage(vram_mib=used))
        for i, used in enumerate(running)
    )
    snapshot = a_snapshot(nodes=(a_report(devices=(a_device(**device),)),), reservations=reservations)

    verdict = only(held(snapshot, a_class(vram_mib=10240)), "vram")

    assert (verdict.where, verdict.need, verdict.have, verdict.limit) == ("node1/gpu0", 10240, have, 24064)
    assert words_of(verdict) == message
    assert verdict.holders == tuple(r.job_id for r in reservations)


def test_a_measurement_from_before_the_attempt_began_counts_as_nothing_taken() -> None:
    late = a_reservation(vram_mib=10240, usage=Usage(vram_mib=10240), started_at=NOW)
    snapshot = a_snapshot(
        nodes=(a_report(devices=(a_device(vram_used_mib=10240),), sent_at=NOW - 1),), reservations=(late,)
    )

    assert only(held(snapshot, a_class(vram_mib=4096)), "vram").have == 3584


def test_vram_needs_that_no_device_has_are_infeasible_not_waiting() -> None:
    hold = held(a_snapshot(), a_class(vram_mib=24576))

    assert only(hold, "vram").is_never
    assert hold.is_infeasible


def test_one_device_that_never_fits_beside_one_that_is_busy_is_waiting() -> None:
    node = a_report(devices=(a_device(0), a_device(1, vram_total_mib=8192)))
    busy = a_reservation(vram_mib=20480, expected_s=60)
    hold = held(a_snapshot(nodes=(node,), reservations=(busy,)), a_class(vram_mib=10240))

    assert [(v.where, v.is_never, v.reopens_at) for v in hold.closed] == [
        ("node1/gpu0", False, NOW + 50),
        ("node1/gpu1", True, None),
    ]
    assert not hold.is_infeasible


def test_the_gpu_lane_without_a_device_asks_no_vram() -> None:
    admission = admitted(a_snapshot(nodes=(a_report(devices=0),)), a_class(vram_mib=10240))

    assert admission.reservation.queue == "gpu-node1"
    assert (admission.reservation.devices, admission.reservation.vram_mib) == ((), 0)


def test_a_job_without_vram_in_the_gpu_lane_goes_to_a_device_queue() -> None:
    admission = admitted(a_snapshot(), a_class(vram_mib=0))

    assert (admission.reservation.queue, admission.reservation.devices) == ("gpu-node1-gpu0", ())


def test_several_devices_are_taken_on_one_node() -> None:
    admission = admitted(a_snapshot(nodes=(a_report(devices=4),)), a_class(vram_mib=20000, devices=3))

    assert admission.reservation.devices == ("gpu0", "gpu1", "gpu2")
    assert admission.reservation.queue == "gpu-node1-gpu0"
    assert set(admission.ceilings) == {f"node1/gpu{i}:vram_mib" for i in range(3)}


def test_more_devices_than_any_node_has_is_infeasible() -> None:
    hold = held(a_snapshot(nodes=(a_report("a"), a_report("b"))), a_class(vram_mib=100, devices=2))

    assert hold.is_infeasible
    assert [(v.need, v.have, v.unit) for v in hold.closed] == [(2, 1, "devices")] * 2


def test_devices_that_are_busy_now_are_waited_for() -> None:
    busy = a_reservation(vram_mib=20480)
    hold = held(
        a_snapshot(nodes=(a_report(devices=2),), reservations=(busy,)), a_class(vram_mib=10240, devices=2)
    )

    assert [v.unit for v in hold.closed] == ["MiB", "devices"]
    assert not hold.is_infeasible


def test_the_cpu_lane_may_ask_for_vram_too() -> None:
    admission = admitted(a_snapshot(), a_class("cpu", vram_mib=1024))

    assert (admission.reservation.queue, admission.reservation.devices) == ("cpu-node1", ("gpu0",))
    assert held(a_snapshot(nodes=(a_report(devices=0),)), a_class("cpu", vram_mib=1024)).is_infeasible


# ── lane ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("lane", "depth"), [("gpu", 2), ("cpu", 2), ("io", 2), ("cloud", 5)])
def test_a_lane_is_fed_while_fewer_than_its_depth_are_queued(lane: Any, depth: int) -> None:
    queue = "gpu-node1-gpu0" if lane == "gpu" else f"{lane}-node1"

    assert admitted(a_snapshot(queued={queue: depth - 1}), a_class(lane)).reservation.queue == queue
    verdict = only(held(a_snapshot(queued={queue: depth}), a_class(lane)), "lane")
    assert (verdict.need, verdict.have, verdict.limit) == (1, 0, depth)
    assert words_of(verdict) == f"{depth} queued of {depth}"


def test_depth_is_a_setting() -> None:
    decision = decide(a_snapshot(), [a_candidate(a_class("cloud"), waiting=12)], Limits(depth={"cloud": 7}))

    assert len(decision.admit) == 7


# ── ram, cpu, scratch ─────────────────────────────────────────────────────────────────────────────────────


def test_ram_counts_what_is_reserved_and_what_others_use() -> None:
    node = a_report(ram_total_mib=16384, ram_available_mib=8192)
    mine = a_reservation(ram_mib=4096, usage=Usage(rss_mib=2048))
    snapshot = a_snapshot(nodes=(node,), reservations=(mine,))

    # 16384 − 1024 headroom − 4096 reserved − (8192 used − 2048 known as mine)
    assert only(held(snapshot, a_class("cpu", ram_mib=5121)), "ram").have == 5120
    assert admitted(snapshot, a_class("cpu", ram_mib=5120)).ceilings == {"node1:ram_mib": 4096 + 5120}


def test_ram_that_cannot_be_read_is_not_plenty() -> None:
    node = a_report(ram_total_mib=None, ram_available_mib=None)

    assert (
        only(held(a_snapshot(nodes=(node,)), a_class("cpu", ram_mib=1)), "ram").reason is Reason.NOT_READABLE
    )
    assert admitted(a_snapshot(nodes=(node,)), a_class("cpu"))


def test_cores_are_handed_out_up_to_the_share() -> None:
    busy = a_reservation(cpu=14.0, lane="cpu", queue="cpu-node1")
    snapshot = a_snapshot(reservations=(busy,))

    verdict = only(held(snapshot, a_class("cpu", cpu=4)), "cpu")
    assert (verdict.need, verdict.have, verdict.limit, verdict.unit) == (4, 2, 16, "cores")
    assert admitted(snapshot, a_class("cpu", cpu=4), Limits(cpu_share=1.25))
    assert held(snapshot, a_class("cpu", cpu=17)).is_infeasible


def test_scratch_counts_outputs_and_temporary_files_less_what_is_written_already() -> None:
    disk = a_volume(total_bytes=100 * GIB, free_bytes=40 * GIB)
    mine = a_reservation(disk={"scratch": 30 * GIB}, usage=Usage(scratch_bytes=20 * GIB))
    snapshot = a_snapshot(nodes=(a_report(volumes=(disk, a_volume("published"))),), reservations=(mine,))

    # 40 free − the 10 that the running one has not written yet
    verdict = only(
        held(snapshot, a_class("cpu", scratch_bytes=20 * GIB, writes={"scratch": 11 * GIB})), "scratch"
    )
    assert (verdict.where, verdict.need, verdict.have) == ("node1/scratch", 31 * GIB, 30 * GIB)
    admission = admitted(snapshot, a_class("cpu", scratch_bytes=20 * GIB, writes={"scratch": 10 * GIB}))
    assert admission.reservation.disk == {"scratch": 30 * GIB}
    assert admission.ceilings == {"node1/scratch:bytes": 60 * GIB}


def test_a_disk_keeps_its_headroom_and_what_exceeds_it_is_infeasible() -> None:
    limits = Limits(disk_headroom_bytes={"published": 10 * GIB})

    assert admitted(a_snapshot(), a_class("io", writes={"published": 90 * GIB}), limits)
    assert held(a_snapshot(), a_class("io", writes={"published": 91 * GIB}), limits).is_infeasible


def test_free_space_that_cannot_be_read_holds() -> None:
    node = a_report(volumes=(a_volume(free_bytes=None, total_bytes=None),))

    assert (
        only(held(a_snapshot(nodes=(node,)), a_class("cpu", scratch_bytes=1)), "scratch").reason
        is Reason.NOT_READABLE
    )


def test_roots_on_one_file_system_share_its_free_space() -> None:
    # Given scratch and published on one disk with 100 GiB free
    volumes = tuple(a_volume(root, filesystem="66306") for root in ("scratch", "published"))
    snapshot = a_snapshot(nodes=(a_report(volumes=volumes),))

    # A job that puts 60 GiB on each of them fits nowhere; of two that ask one of the two, one is let in
    both = a_class("cpu", writes={"scratch": 60 * GIB, "published": 60 * GIB})
    assert {v.gate for v in held(snapshot, both).closed} == {"scratch"}
    one = a_candidate(a_class("cpu", writes={"published": 60 * GIB}), waiting=2)
    (admission,) = decide(snapshot, [one], LIMITS).admit
    assert admission.ceilings["node1/published+scratch:bytes"] == 100 * GIB, (
        "checked together in the hand-over too"
    )


def test_a_disk_smaller_than_its_headroom_says_so() -> None:
    snapshot = a_snapshot(nodes=(a_report(volumes=(a_volume(total_bytes=6 << 20, free_bytes=6 << 20),)),))
    hold = held(snapshot, a_class("cpu", writes={"scratch": 1 << 20}), Limits())

    assert hold.is_infeasible
    words = " ".join(explain(hold, NOW))
    assert "6.0 MiB in all, headroom_bytes keeps 1.0 GiB of it free" in words


# ── mount ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("volumes", "message", "is_infeasible"),
    [
        (
            (a_volume("published", fault="not mounted: marker is missing"),),
            "not mounted: marker is missing",
            False,
        ),
        ((a_volume("published", is_writable=False),), "not writable", False),
        ((), "published is not declared on node1", True),
    ],
)
def test_a_root_must_be_there_and_writable(
    volumes: tuple[Any, ...], message: str, is_infeasible: bool
) -> None:
    for size in (0, 1):
        hold = held(a_snapshot(nodes=(a_report(volumes=volumes),)), a_class("io", writes={"published": size}))
        assert words_of(only(hold, "mount")) == message
        assert hold.is_infeasible is is_infeasible
