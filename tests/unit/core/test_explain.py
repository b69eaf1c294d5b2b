"""Verdicts in words."""

from __future__ import annotations

import pytest
from builders import NOW, a_candidate, a_class, a_device, a_rate, a_report, a_reservation, a_snapshot

from conductor.core.admission import decide
from conductor.core.explain import describe, earliest, explain, leading
from conductor.core.gates import after
from conductor.model.decision import Hold
from conductor.model.limits import Limits
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
            "vram needs 10.0 GiB, node1/gpu0 has 3.5 GiB free (held by job-0000, until in about 1 min 00 s)",
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
        (a_snapshot(controls=Controls(paused_lanes=("gpu",))), a_class(), "hold: gpu, the gpu lane is paused"),
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
        "vram needs 10.0 GiB, node1/gpu0 has 3.5 GiB free (held by job-0000, until in about 55 s)",
        "vram needs 10.0 GiB, node1/gpu1 can never (7.5 GiB)",
        "report open",
        "hold open",
        "lane open",
        "could start in about 55 s",
    ]
    assert earliest(hold) == NOW + 60


def test_infeasible_is_not_waiting() -> None:
    lines = explain(held(a_snapshot(), a_class(vram_mib=40960)), NOW)

    assert lines[0] == "can never run on the nodes that report (1 job)"
    assert not any("could start" in line for line in lines)


def test_jobs_that_wait_for_others_are_explained_by_the_after_gate() -> None:
    assert describe(after(("a" * 24, "b" * 24)), NOW) == "waits for 2 jobs aaaaaaaa, bbbbbbbb"
    assert after(()).passed
