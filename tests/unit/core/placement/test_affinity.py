"""A place where the job's model is warm goes before others that fit about equally well, and before no
others.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.model.limits import Limits, PlaceRule
from conductor.model.report import NodeReport
from conductor.model.spec import Lane
from tests.builders import a_candidate, a_class, a_device, a_report, a_reservation, a_snapshot

YOLO = "onnx:yolo"
RULES: tuple[PlaceRule, ...] = ("tightest", "least_loss")


def warm(report: NodeReport, queue: str) -> NodeReport:
    """`queue` of it keeps YOLO warm."""
    queues = tuple(replace(q, warm=(YOLO,)) if q.queue == queue else q for q in report.queues)
    return replace(report, queues=queues)


def went_to(
    rule: PlaceRule,
    *reports: NodeReport,
    lane: Lane = "gpu",
    running: tuple[object, ...] = (),
    **demands: object,
) -> str:
    """The queue that a job which wants YOLO is handed to."""
    job_class = a_class(lane, warm=YOLO, **demands)
    snapshot = a_snapshot(nodes=reports, reservations=running)
    (admission,) = decide(snapshot, [a_candidate(job_class)], Limits(place=rule)).admit
    return admission.reservation.queue


@pytest.mark.parametrize("rule", RULES)
def test_of_equal_devices_the_one_that_has_the_model_is_taken(rule: PlaceRule):
    report = a_report(devices=3)
    assert went_to(rule, report, vram_mib=8192) == "gpu-node1-gpu0"
    assert went_to(rule, warm(report, "gpu-node1-gpu2"), vram_mib=8192) == "gpu-node1-gpu2"


@pytest.mark.parametrize("rule", RULES)
def test_and_on_whichever_node_it_is(rule: PlaceRule):
    nodes = (a_report("a"), warm(a_report("b"), "gpu-b-gpu0"))
    assert went_to(rule, *nodes, vram_mib=8192) == "gpu-b-gpu0"


@pytest.mark.parametrize("rule", RULES)
def test_what_another_job_needs_whole_is_not_broken_up_for_it(rule: PlaceRule):
    small, large = a_device(0, vram_total_mib=8704), a_device(1, vram_total_mib=49152)
    snapshot = a_snapshot(nodes=(warm(a_report(devices=(small, large)), "gpu-node1-gpu1"),))
    wants = a_candidate(a_class(warm=YOLO, vram_mib=8192, priority=1))
    whole = a_candidate(a_class(id="class-b", vram_mib=48000))
    admitted = decide(snapshot, [wants, whole], Limits(place=rule)).admit
    assert [a.reservation.queue for a in admitted] == ["gpu-node1-gpu0", "gpu-node1-gpu1"]


@pytest.mark.parametrize("rule", RULES)
def test_nor_an_idle_worker_for_a_busy_one(rule: PlaceRule):
    report = warm(a_report(devices=2, workers=1), "gpu-node1-gpu1")
    running = a_reservation(queue="gpu-node1-gpu1", vram_mib=8192, devices=("gpu1",))
    assert went_to(rule, report, running=(running,), vram_mib=8192) == "gpu-node1-gpu0"


@pytest.mark.parametrize("rule", RULES)
def test_a_quarantined_device_is_not_taken_however_warm(rule: PlaceRule):
    report = warm(a_report(devices=(a_device(0), a_device(1, quarantined="lost"))), "gpu-node1-gpu1")
    assert went_to(rule, report, vram_mib=8192) == "gpu-node1-gpu0"


@pytest.mark.parametrize("rule", RULES)
def test_without_vram_the_node_that_has_the_model_is_taken(rule: PlaceRule):
    nodes = (a_report("a"), warm(a_report("b"), "cpu-b"))
    assert went_to(rule, *nodes, lane="cpu", cpu=1.0) == "cpu-b"
    assert went_to(rule, *nodes, lane="cpu") == "cpu-b"


@pytest.mark.parametrize("rule", RULES)
def test_of_two_pairs_of_devices_the_one_whose_worker_has_the_model_is_taken(rule: PlaceRule):
    nodes = (a_report("a", devices=2), warm(a_report("b", devices=2), "gpu-b-gpu0"))
    assert went_to(rule, *nodes, vram_mib=8192, devices=2) == "gpu-b-gpu0"
