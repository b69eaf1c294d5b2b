"""What running jobs of a kind hold now is asked of the next ones, before any receipt."""

from __future__ import annotations

from typing import Any

from builders import NOW, a_candidate, a_class, a_device, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.failures.retry import after_failure
from conductor.core.needs.escalation import raised
from conductor.core.needs.running_usage import held_by_kind, measured
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.snapshot import JobClass, Snapshot

LIMITS = Limits()
LIAR = a_class(vram_mib=500, kind="media.cut")


def running(count: int, **ours: int) -> Snapshot:
    """So many of 500 MiB; what the driver lists of their workers, by number."""
    held = tuple(
        a_reservation(f"job-{n:08d}", vram_mib=500, kind="media.cut", worker=f"w{n}") for n in range(count)
    )
    device = a_device(vram_used_mib=sum(ours.values()), ours=dict(ours))
    return a_snapshot(nodes=(a_report(devices=(device,), sent_at=NOW - 1),), reservations=held)


def asks(snapshot: Snapshot, job_class: JobClass = LIAR) -> int:
    (candidate,) = measured(snapshot, [a_candidate(job_class, waiting=9)], LIMITS)
    return candidate.job_class.needs.vram_mib


def test_a_batch_that_says_too_little_is_asked_what_its_running_ones_hold() -> None:
    snapshot = running(4, w0=5000, w1=4900, w2=5000, w3=3000)

    assert asks(snapshot) == 5056
    (candidate,) = measured(snapshot, [a_candidate(LIAR, waiting=9)], LIMITS)
    decision = decide(snapshot, [candidate], LIMITS)
    assert len(decision.admit) == 1, "17,900 of 24,064 MiB are held: one more of 5,056, not thirty-six of 500"
    assert decision.admit[0].reservation.vram_mib == 5056
    assert (
        "asks 4.9 GiB of VRAM instead of 500 MiB, as those of its kind that run hold"
        in decision.hold[0].learned
    )


def test_the_workers_own_word_counts_where_the_driver_lists_nobody() -> None:
    told = a_reservation(vram_mib=500, kind="media.cut", worker="w0", usage=Usage(vram_mib=4000))

    assert asks(a_snapshot(reservations=(told,))) == 4032


def test_who_keeps_his_word_and_what_is_of_another_sort_changes_nothing() -> None:
    snapshot = running(2, w0=450, w1=500)
    assert asks(snapshot) == 500
    assert measured(snapshot, [a_candidate(LIAR)], LIMITS) == (a_candidate(LIAR),)
    large = running(1, w0=5000)
    assert asks(large, a_class(vram_mib=500, kind="another")) == 500
    assert asks(large, a_class(id="small", vram_mib=400, kind="media.cut")) == 400, (
        "a smaller job may need less"
    )
    assert asks(large, a_class(id="large", vram_mib=900, kind="media.cut")) == 5056


def test_what_its_own_class_holds_counts_also_once_that_much_is_reserved() -> None:
    honest = a_reservation(vram_mib=5056, kind="media.cut", worker="w0", usage=Usage(vram_mib=5000))

    assert asks(a_snapshot(reservations=(honest,))) == 5056


def test_never_more_than_a_device_has() -> None:
    snapshot = running(1, w0=24_400)

    assert asks(snapshot) == 24_576 - 512


def lesson(**more: Any) -> int | None:
    found = raised("cuda_oom", LIAR, Usage(vram_mib=400), {"vram_mib": 24_064}, **more).job_class
    return found.needs.vram_mib if found else None


def test_a_raise_goes_to_what_others_of_the_kind_hold_or_to_a_device_of_its_own() -> None:
    assert lesson() == 768
    assert lesson(kind_mib=5000) == 6400
    assert lesson(kind_mib=5000, is_crowded=True) == 6400
    assert lesson(is_crowded=True) == 24_064
    others = running(3, w0=5000, w1=300, w2=4000)
    assert held_by_kind(others.reservations[0], others.reservations, others.nodes) == 4000, (
        "not what it held itself"
    )


def test_an_out_of_memory_that_others_caused_costs_no_retry() -> None:
    assert after_failure("cuda_oom", {"cuda_oom": 3}, {}) == Dead()
    assert after_failure("cuda_oom", {"cuda_oom": 3}, {}, is_free=True) == Retry(delay_s=40.0, is_free=True)
