"""Slices of cards, and devices whose size the driver does not tell."""

from __future__ import annotations

import pytest
from builders import NOW, a_candidate, a_class, a_device, a_report, a_reservation, a_snapshot
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.core.admission.explain import describe
from conductor.core.capacity.cluster import Free
from conductor.dispatch.feasibility import never
from conductor.model.limits import Limits, PlaceRule
from conductor.model.report import Device, NodeReport

UNSIZED = (
    "the driver does not tell how much memory it has: say it in conductor.toml, devices.gpu0.vram_mib = …"
)


def slices(*, of: int, whole: int = 0) -> NodeReport:
    parts = tuple(a_device(i, uuid=f"MIG-{i}", is_slice=True) for i in range(of))
    return a_report(devices=(*parts, *(a_device(of + i) for i in range(whole))))


@pytest.mark.parametrize("place", ["tightest", "least_loss"])
def test_a_job_of_several_devices_gets_whole_cards_only(place: PlaceRule) -> None:
    snapshot, pair = a_snapshot(nodes=(slices(of=2, whole=2),)), a_class(vram_mib=4096, devices=2)

    decision = decide(snapshot, [a_candidate(pair)], Limits(place=place))

    assert [a.reservation.devices for a in decision.admit] == [("gpu2", "gpu3")]
    assert decision.admit[0].reservation.uuids == ("GPU-2", "GPU-3")


@pytest.mark.parametrize("place", ["tightest", "least_loss"])
def test_a_job_of_one_device_gets_a_slice(place: PlaceRule) -> None:
    decision = decide(
        a_snapshot(nodes=(slices(of=1),)), [a_candidate(a_class(vram_mib=4096))], Limits(place=place)
    )

    assert [a.reservation.uuids for a in decision.admit] == [("MIG-0",)]


def test_with_slices_alone_a_job_of_several_can_never_run_and_it_is_said() -> None:
    snapshot, pair = a_snapshot(nodes=(slices(of=2),)), a_class(vram_mib=4096, devices=2)

    (hold,) = decide(snapshot, [a_candidate(pair)], Limits()).hold

    assert hold.is_infeasible
    assert "slices of cards cannot be used together" in "; ".join(describe(v, NOW) for v in hold.closed)
    assert never(pair, snapshot.nodes) == "needs 2 devices of 4096 MiB at once, no node has so many"


def a_node(device: Device) -> NodeReport:
    return a_report(devices=(device,))


def test_a_device_of_unknown_size_says_what_to_do_and_not_that_it_has_nothing() -> None:
    node = a_node(a_device(vram_total_mib=0, vram_used_mib=None, quarantined=UNSIZED))
    snapshot, job_class = a_snapshot(nodes=(node,)), a_class(vram_mib=4096)

    (hold,) = decide(snapshot, [a_candidate(job_class)], Limits()).hold

    said = "; ".join(describe(v, NOW) for v in hold.closed)
    assert UNSIZED in said and "0 B" not in said
    assert never(job_class, snapshot.nodes) is None, (
        "a dispatch does not refuse what may be declared tomorrow"
    )


def test_a_declared_size_is_given_out_and_named() -> None:
    node = a_node(a_device(vram_total_mib=12288, vram_used_mib=None, is_declared=True))
    snapshot = a_snapshot(nodes=(node,))
    classes = [a_class(id="fits", vram_mib=8000), a_class(id="never", vram_mib=16000)]

    decision = decide(snapshot, [a_candidate(c, waiting=2) for c in classes], Limits())

    assert [a.reservation.class_id for a in decision.admit] == ["fits"]
    (held,) = [hold for hold in decision.hold if hold.class_id == "never"]
    said = "; ".join(describe(v, NOW) for v in held.closed)
    assert "can never (12.0 GiB, as devices.gpu0.vram_mib says)" in said


def test_what_ours_hold_beyond_their_word_is_gone_also_where_the_whole_is_not_told() -> None:
    liar = a_reservation(vram_mib=500, worker="w0")
    node = a_node(a_device(vram_used_mib=None, ours={"w0": 5000}, is_declared=True))

    free = Free(a_snapshot(nodes=(node,), reservations=(liar,)), Limits(vram_headroom_mib=0))

    assert free.nodes["node1"].devices["gpu0"].vram.free == 24576 - 5000


@pytest.mark.parametrize("place", ["tightest", "least_loss"])
def test_a_job_of_the_gpu_lane_that_asks_no_video_memory_runs_where_all_its_workers_have_devices(
    place: PlaceRule,
) -> None:
    decision = decide(
        a_snapshot(nodes=(a_report(devices=2),)), [a_candidate(a_class(cpu=1))], Limits(place=place)
    )

    assert [a.reservation.queue for a in decision.admit] == ["gpu-node1-gpu0"]


@pytest.mark.parametrize("place", ["tightest", "least_loss"])
def test_where_less_than_nothing_is_left_of_one_resource_goes_who_does_not_ask_it(place: PlaceRule) -> None:
    """Others came to use memory that was reserved."""
    snapshot = a_snapshot(
        nodes=(a_report(ram_total_mib=40000, ram_available_mib=1000),),
        reservations=(a_reservation(ram_mib=20000),),
    )

    decision = decide(snapshot, [a_candidate(a_class("cpu", cpu=1))], Limits(place=place))

    assert len(decision.admit) == 1


@pytest.mark.parametrize("place", ["tightest", "least_loss"])
def test_of_several_devices_the_second_needs_no_workers_of_its_own(place: PlaceRule) -> None:
    report = a_report(devices=2)
    report = replace(report, queues=tuple(q for q in report.queues if q.device != "gpu1"))
    pair = a_class(vram_mib=4096, devices=2)

    decision = decide(a_snapshot(nodes=(report,)), [a_candidate(pair)], Limits(place=place))

    assert [a.reservation.devices for a in decision.admit] == [("gpu0", "gpu1")]
