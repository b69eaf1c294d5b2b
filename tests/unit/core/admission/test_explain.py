"""Verdicts in words."""

from __future__ import annotations

from typing import Any

import pytest
from builders import (
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_reservation,
    a_snapshot,
    a_volume,
)
from msgspec import structs

from conductor.core.admission.admission import decide
from conductor.core.admission.earliest_start import earliest
from conductor.core.admission.explain import describe, explain, leading, prospects, sentence
from conductor.core.admission.gates import after
from conductor.model.decision import Gate, Hold, Verdict
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.snapshot import Controls, JobClass, Snapshot


def held(snapshot: Snapshot, job_class: JobClass) -> Hold:
    return decide(snapshot, [a_candidate(job_class)], Limits()).hold[0]


NODE = a_report(devices=(a_device(0), a_device(1, vram_total_mib=8192)))
FOREIGN = a_report(devices=(a_device(vram_used_mib=20480),))


@pytest.mark.parametrize(
    ("snapshot", "job_class", "text"),
    [
        (
            a_snapshot(nodes=(FOREIGN,)),
            a_class(vram_mib=10240),
            "vram needs 10.0 GiB, node1/gpu0 has 3.5 GiB free (20.0 GiB used by others)",
        ),
        (
            a_snapshot(reservations=(a_reservation(vram_mib=20480, expected_s=70),)),
            a_class(vram_mib=10240),
            "vram needs 10.0 GiB, node1/gpu0 has 3.5 GiB free (held by job-0000, for about 1 min 00 s more)",
        ),
        (
            a_snapshot(rates=(a_rate(closed_until=NOW + 12),)),
            a_class("cloud", rates={"api": (1, 0)}),
            "rate limit, reopens in 12 s (api)",
        ),
        (
            a_snapshot(rates=(a_rate(requests_left=0, requests_limit=30, resets_at=NOW + 12),)),
            a_class("cloud", rates={"api": (1, 0)}),
            "rate limit, reopens in 12 s (api: 0 of 30 requests a minute left)",
        ),
        (
            a_snapshot(rates=(a_rate(tokens_left=10, tokens_limit=10),)),
            a_class("cloud", rates={"api": (1, 99)}),
            "rate: one call needs 99 tokens, api allows 10 a minute",
        ),
        (a_snapshot(nodes=()), a_class(), "report: no node reports"),
        (a_snapshot(controls=Controls(paused_lanes=("gpu",))), a_class(), "hold: gpu, the gpu "
                                                                          "lane is paused"),
        (a_snapshot(queued={"gpu-node1-gpu0": 2}), a_class(), "lane node1/gpu0: 2 queued of 2"),
        (a_snapshot(), a_class("cpu", cpu=32), "cpu needs 32 cores, node1 can never (16 cores)"),
        (a_snapshot(nodes=(a_report(volumes=()),)), a_class("io", writes={"published": 1}),
         "mount: node1/published, published is not declared on node1"),
    ],
)  # fmt: skip
def test_the_leading_reason_in_one_line(snapshot: Snapshot, job_class: JobClass, text: str) -> None:
    verdict = leading(held(snapshot, job_class))

    assert verdict is not None
    assert describe(verdict, NOW) == text


def test_explain_names_every_place_and_what_is_open() -> None:
    busy = a_reservation(vram_mib=20480, expected_s=70)
    hold = held(a_snapshot(nodes=(NODE,), reservations=(busy,)), a_class(vram_mib=10240))

    assert explain(hold, NOW + 5) == [
        "held for 5.0 s (1 job waiting)",
        "vram needs 10.0 GiB, node1/gpu0 has 3.5 GiB free (held by job-0000, for about 55 s more)",
        "vram needs 10.0 GiB, node1/gpu1 can never (7.5 GiB)",
        "report open",
        "hold open",
        "lane open",
        "would start in about 55 s",
    ]
    assert earliest(hold) == NOW + 60


def test_infeasible_is_not_waiting() -> None:
    lines = explain(held(a_snapshot(), a_class(vram_mib=40960)), NOW)

    assert lines[0] == "can never run on the nodes that report (1 job)"
    assert not any("would start" in line for line in lines)


def test_jobs_that_wait_for_others_are_explained_by_the_after_gate() -> None:
    assert describe(after(("a" * 24, "b" * 24)), NOW) == "waits for 2 jobs aaaaaaaa, bbbbbbbb"
    assert after(()).passed


def at_clock(at: float) -> str:
    return f"about +{at - NOW:.0f}"


def test_one_sentence_says_all_closed_gates_where_what_is_open_and_when_it_would_start() -> None:
    running = (
        a_reservation("abc-00000000", vram_mib=10240, expected_s=600, started_at=NOW),
        a_reservation("def-00000000", vram_mib=8192, expected_s=300, started_at=NOW),
    )
    hold = held(
        a_snapshot(nodes=(NODE,), reservations=running), a_class(vram_mib=10240, scratch_bytes=1 << 30)
    )

    assert sentence(hold, NOW, 850, at_clock) == (
        "waiting 14 min 10 s: vram needs 10.0 GiB, gpu0 has 5.5 GiB free (held by def-0000, abc-0000, "
        "until about "
        "+300), gpu1 can never (7.5 GiB); report, hold, mount, lane, scratch open; would start about +300"
    )


def test_the_sentence_says_what_is_kept_and_by_when_it_starts() -> None:
    hold = held(a_snapshot(reservations=(a_reservation(vram_mib=20480),)), a_class(vram_mib=10240))

    def said(**more: Any) -> str:
        return "; ".join(prospects(structs.replace(hold, **more), NOW, at_clock))

    assert said() == ""
    assert said(reserved_from=NOW + 60) == "a place is kept free for it from about +60 on"
    assert said(reserved_from=NOW - 5, reserved_at="node1/gpu0") == "node1/gpu0 is kept free for it"
    assert said(reserved_from=NOW, reserved_at="node1/gpu0", starts_by=NOW + 90) == (
        "starts no later than about +90: node1/gpu0 is kept free for it"
    )
    assert said(reserved_from=NOW + 60, starts_by=NOW + 90) == (
        "starts no later than about +90: a place is kept free for it from about +60 on"
    )
    assert (
        said(first_from=NOW + 9)
        == "goes before all others of its backlog from about +9 on, later if more work comes"
    )


#: (gate, is it of one place) → what it is closed for.
REASONS: dict[tuple[Gate, bool], Reason] = {
    ("vram", True): Reason.NO_ROOM,
    ("ram", False): Reason.NO_ROOM,
    ("scratch", True): Reason.NO_ROOM,
    ("hold", True): Reason.DEVICE_QUARANTINED,
    ("hold", False): Reason.LANE_PAUSED,
    ("lane", False): Reason.QUEUE_FULL,
    ("rate", False): Reason.BUDGET_SHORT,
}


@pytest.mark.parametrize(
    ("verdicts", "at"),
    [
        ([("vram", "n1/gpu0", 60), ("vram", "n1/gpu1", 30)], 30),
        ([("vram", "n1/gpu0", 60), ("ram", "n1", 90)], 90),
        ([("vram", "n1/gpu0", 60), ("ram", "n1", None), ("vram", "n2/gpu0", 80)], 80),
        ([("vram", "n1/gpu0", 60), ("hold", "n1/gpu0", None), ("vram", "n1/gpu1", 70)], 70),
        ([("vram", "n1/gpu0", 60), ("hold", "n1/gpu0", None)], None),
        ([("scratch", "n1/scratch", 60), ("scratch", "n1/nas", 90)], 90),
        ([("vram", "n1/gpu0", 60), ("hold", "gpu", None)], None),
        ([("rate", "api", 20), ("lane", "n1", 10)], 20),
    ],
)
def test_it_could_start_where_all_gates_are_open_soonest(
    verdicts: list[tuple[Gate, str, float | None]], at: float | None
) -> None:
    asked = tuple(
        Verdict(
            gate=gate,
            passed=False,
            reason=REASONS[gate, "/" in where],
            where=where,
            reopens_at=None if opens is None else NOW + opens,
        )
        for gate, where, opens in verdicts
    )
    hold = Hold(class_id="c", backlog="b", task="t", lane="gpu", waiting=1, verdicts=asked)

    assert earliest(hold) == (None if at is None else NOW + at)


def test_several_devices_at_once_start_when_the_last_of_them_is_free() -> None:
    node = a_report(devices=3)
    running = tuple(
        a_reservation(
            f"run-{i}", vram_mib=20000, devices=(f"gpu{i}",), expected_s=100 * (i + 1), started_at=NOW
        )
        for i in range(3)
    )

    assert earliest(
        held(a_snapshot(nodes=(node,), reservations=running), a_class(vram_mib=9000, devices=2))
    ) == (NOW + 200)


# ── who else is in the way ────────────────────────────────────────────────────────────────────────────────


def hold_of(class_id: str, snapshot: Snapshot, *job_classes: JobClass) -> Hold:
    found = decide(snapshot, [a_candidate(c, waiting=3) for c in job_classes], Limits())
    return next(hold for hold in found.hold if hold.class_id == class_id)


BUSY = a_reservation("abc-00000000", vram_mib=20480, expected_s=600, started_at=NOW)
LOW = a_class(vram_mib=10240, id="low")


def test_who_goes_before_it_is_said_and_no_start_is_promised() -> None:
    urgent = a_class(vram_mib=20480, id="urgent", priority=5)
    beside = a_class(vram_mib=10240, id="aside", ram_mib=1)
    paused = a_class("cpu", id="paused", priority=9, cpu=1)
    snapshot = a_snapshot(reservations=(BUSY,), controls=Controls(paused_lanes=("cpu",)))

    hold = hold_of("low", snapshot, urgent, beside, paused, LOW)
    words = sentence(hold, NOW, 60, at_clock)

    assert (
        "4 jobs go before it, 3 of them of higher priority (the first is urgent-0); vram needs 10.0 GiB"
        in words
    )
    assert words.endswith("there is room about +600 at the earliest, for those before it first")
    assert hold_of("urgent", snapshot, urgent, beside, paused, LOW).front is None


def test_a_moment_that_has_passed_is_no_promise() -> None:
    over = structs.replace(BUSY, expected_s=5.0, started_at=NOW - 44)

    words = sentence(held(a_snapshot(reservations=(over,)), LOW), NOW, 60, at_clock)

    assert "held by abc-0000, any moment: over its estimate" in words
    assert words.endswith("there is room any moment: what it waits for has run longer than its estimate")
    assert "would start" not in words


def test_of_a_full_lane_it_says_how_many_have_to_end_first_and_which() -> None:
    going = [
        a_reservation(f"{n}-running", queue="gpu-node1-gpu0", expected_s=100 * (n + 1), started_at=NOW)
        for n in range(2)
    ]
    full = a_snapshot(reservations=tuple(going), queued={"gpu-node1-gpu0": 3})

    words = sentence(held(full, a_class()), NOW, 60, at_clock)

    assert (
        "lane node1/gpu0: 3 queued of 2: 2 jobs have to end first (0-runnin, 1-runnin, the last "
        "until about +200)" in words
    )
    assert words.endswith("would be handed over about +200")


def test_a_disk_that_says_no_twice_gives_one_answer() -> None:
    disk: dict[str, Any] = {"where": "n1/scratch", "need": 20, "have": 5, "limit": 90, "unit": "bytes"}
    no_room = Verdict(
        gate="scratch", passed=False, reason=Reason.NO_ROOM, holders=("abc-0",), reopens_at=NOW + 60, **disk
    )
    crowded = Verdict(gate="scratch", passed=False, reason=Reason.CHAIN_UNSAFE, **disk)
    hold = Hold(class_id="c", backlog="b", task="t", lane="io", waiting=1, verdicts=(no_room, crowded))

    words = sentence(hold, NOW, 60, at_clock)

    assert words.count("scratch has") == 1
    assert (
        "has 5 B free (and with room what was begun could not all be finished, held by abc-0, "
        "until about +60)" in words
    )
    assert "it fits" not in words


def test_what_others_use_is_named_where_the_end_of_all_of_ours_would_not_do() -> None:
    node = a_report(volumes=(a_volume(total_bytes=100 << 30, free_bytes=20 << 30),))
    ours = a_reservation("abc-0", lane="io", queue="io-node1", disk={"scratch": 15 << 30}, expected_s=9)

    words = sentence(
        held(a_snapshot(nodes=(node,), reservations=(ours,)), a_class("io", scratch_bytes=40 << 30)), NOW, 1
    )

    assert "80.0 GiB taken by files that lie there, held by abc-0" in words


def test_hours_and_a_backfill_reservation_are_no_next_try_of_a_canary() -> None:
    closed = Verdict(
        gate="hold", passed=False, reason=Reason.LANE_OUTSIDE_HOURS, where="gpu", reopens_at=NOW + 60
    )
    kept = Verdict(
        gate="hold",
        passed=False,
        reason=Reason.PLACE_RESERVED,
        where="n1/gpu0",
        holders=("abcdefgh-0",),
        reopens_at=NOW + 5,
    )

    assert describe(closed, NOW, at_clock) == "hold: gpu, the gpu lane is outside its hours; until about +60"
    assert describe(kept, NOW + 9, at_clock) == (
        "hold: n1/gpu0, kept free for abcdefgh, which others passed; any moment: over its estimate"
    )
