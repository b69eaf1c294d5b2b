"""What others use: a raised need is cut to what they leave, and what cannot be beside them is said to be
so.
"""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW, a_candidate, a_class, a_device, a_report, a_reservation, a_snapshot
from msgspec import structs

from conductor.core.admission.admission import decide
from conductor.core.admission.earliest_start import CROWDED_S, is_never
from conductor.core.admission.explain import never_sentence, sentence
from conductor.core.admission.gate_ledger import carried
from conductor.core.capacity.cluster import Free
from conductor.core.needs.caps import within
from conductor.core.needs.escalation import placed, raised
from conductor.core.needs.learned_amounts import largest
from conductor.model.decision import GateLedger, Hold
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.snapshot import JobClass, Snapshot

LIMITS = Limits()
DESKTOP = a_report(devices=(a_device(vram_used_mib=300),))


def held(snapshot: Snapshot, job_class: JobClass) -> Hold:
    (hold,) = decide(snapshot, [a_candidate(job_class)], LIMITS).hold
    return hold


def cut(job_class: JobClass, **snapshot: Any) -> JobClass:
    needs = within(job_class, job_class.needs, Free(a_snapshot(**snapshot), LIMITS))
    return structs.replace(job_class, needs=needs)


def test_after_one_out_of_memory_a_job_still_runs_beside_a_desktop() -> None:
    planned = a_class(vram_mib=20_000)
    lesson = raised("cuda_oom", planned, Usage(vram_mib=19_900), largest([DESKTOP], LIMITS))
    assert lesson.job_class is not None and lesson.job_class.needs.vram_mib == 24_576 - 512

    asked = cut(lesson.job_class, nodes=(DESKTOP,))

    assert asked.needs.vram_mib == 24_576 - 512 - 300
    assert decide(a_snapshot(nodes=(DESKTOP,)), [a_candidate(asked)], LIMITS).admit
    assert cut(lesson.job_class).needs.vram_mib == 24_576 - 512, "all of it once the desktop is closed"


def test_the_same_of_memory() -> None:
    used = a_report(ram_available_mib=50_000)
    job_class = placed(a_class("cpu", ram_mib=40_000), structs.replace(a_class().needs, ram_mib=60_000))

    asked = cut(job_class, nodes=(used,))

    assert 40_000 < asked.needs.ram_mib <= 50_000
    assert decide(a_snapshot(nodes=(used,)), [a_candidate(asked)], LIMITS).admit


def test_never_below_what_its_line_asks() -> None:
    crowd = a_report(devices=(a_device(vram_used_mib=10_000),))

    assert (
        cut(placed(a_class(vram_mib=20_000), a_class(vram_mib=24_000).needs), nodes=(crowd,)).needs.vram_mib
        == 20_000
    )


@pytest.mark.parametrize(
    ("job_class", "report", "words"),
    [
        (
            a_class(vram_mib=24_000),
            DESKTOP,
            "vram needs 23.4 GiB, node1/gpu0 has 23.2 GiB free (300 MiB used by others)",
        ),
        (
            a_class("cpu", ram_mib=60_000),
            a_report(ram_available_mib=40_000),
            "ram needs 58.6 GiB, node1 has 38.1 GiB free (24.9 GiB used by others)",
        ),
    ],
)
def test_what_fits_only_without_the_others_is_a_verdict_once_it_has_lasted(
    job_class: JobClass, report: Any, words: str
) -> None:
    first = held(a_snapshot(nodes=(report,)), job_class)
    assert first.crowded_since == NOW and not first.is_infeasible and not is_never(first, NOW)
    later = NOW + CROWDED_S
    report = structs.replace(report, sent_at=later)

    (hold,) = carried(
        [held(a_snapshot(now=later, nodes=(report,)), job_class)], GateLedger(at=NOW, holds=(first,)), later
    )

    assert hold.crowded_since == NOW and is_never(hold, later)
    assert never_sentence(hold, later) == f"1 job of media.cut: {words}"
    assert sentence(hold, later, 0.0).startswith("can never run while others use so much: ")


@pytest.mark.parametrize(
    "snapshot",
    [
        # Something of ours runs there: what it uses may be given back.
        {"nodes": (DESKTOP,), "reservations": (a_reservation(vram_mib=1000),)},
        # Another device has room once its job has ended.
        {
            "nodes": (a_report(devices=(a_device(0, vram_used_mib=300), a_device(1))),),
            "reservations": (a_reservation(vram_mib=9000, devices=("gpu1",), queue="gpu-node1-gpu1"),),
        },
        # Another device is closed, and may come back empty.
        {"nodes": (a_report(devices=(a_device(0, vram_used_mib=300), a_device(1, quarantined="lost"))),)},
        # So has another node.
        {
            "nodes": (DESKTOP, a_report("node2")),
            "reservations": (a_reservation(node="node2", vram_mib=9000, queue="gpu-node2-gpu0"),),
        },
    ],
)
def test_what_may_still_open_only_waits(snapshot: dict[str, Any]) -> None:
    assert held(a_snapshot(**snapshot), a_class(vram_mib=24_000)).crowded_since is None


def test_when_the_desktop_is_closed_it_goes_on() -> None:
    snapshot = a_snapshot(nodes=(a_report(),))

    assert decide(snapshot, [a_candidate(a_class(vram_mib=24_000))], LIMITS).admit


def test_of_several_devices_all_that_are_asked_must_be_left() -> None:
    nodes = (a_report(devices=(a_device(0, vram_used_mib=300), a_device(1))),)

    assert held(a_snapshot(nodes=nodes), a_class(vram_mib=24_000, devices=2)).crowded_since == NOW
