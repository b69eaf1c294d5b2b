"""A tick admits no more than so many. Ticks in a row then come to what one long tick would have come to."""

from __future__ import annotations

import pytest
from builders import a_class, a_device, a_report
from msgspec.structs import replace

from conductor.core.admission import admission
from conductor.core.admission.admission import decide
from conductor.core.admission.incremental import Keeping
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Head, Snapshot, UsualKind

NODES = tuple(
    a_report(
        f"n{i}", devices=tuple(a_device(d, vram_total_mib=24_000) for d in range(2)), workers=2, sent_at=999.0
    )
    for i in range(4)
)
CLASSES = [
    a_class(
        "gpu" if i % 3 else "cpu",
        id=f"c{i}",
        backlog=f"b{i % 3}",
        task="media.cut",
        vram_mib=2_000 * (1 + i % 5) if i % 3 else 0,
        cpu=1.0,
        ram_mib=500 * (1 + i % 4),
        duration_s=30.0 + 7 * i,
        priority=i % 2,
    )
    for i in range(9)
]
USUAL = tuple(
    UsualKind(own={"cpu": 1000, "ram": 500}, devices=1, vram_mib=mib, weight=0.5) for mib in (4_000, 10_000)
)


def candidates(gone: set[str]) -> tuple[Candidate, ...]:
    found: list[Candidate] = []
    for at, job_class in enumerate(CLASSES):
        heads = [Head(job_id=f"job{at}x{k:05}", attempts=0, since=900.0 + at + 0.01 * k) for k in range(6)]
        left = tuple(head for head in heads if head.job_id not in gone)
        if left:
            found.append(Candidate(job_class=job_class, waiting=len(left), heads=left))
    return tuple(found)


def all_ticks(limits: Limits) -> tuple[list[Decision], list[tuple[str, str, tuple[str, ...]]]]:
    """Until a tick is satisfied: all decisions, and who went where in which order."""
    # What is usual is said: worked out from what waits and runs, its weights move as jobs begin.
    snapshot, keeping = Snapshot(now=1000.0, nodes=NODES, usual=USUAL), Keeping()
    ticks, went = list[Decision](), list[tuple[str, str, tuple[str, ...]]]()
    while not ticks or ticks[-1].next_tick_s == 0.0:
        seen = candidates({job_id for job_id, *_ in went})
        ticks.append(keeping.decide(snapshot, seen, limits))
        assert ticks[-1] == decide(snapshot, seen, limits), "kept is afresh"
        held = [a.reservation for a in ticks[-1].admit]
        went += [(r.job_id, r.queue, r.devices) for r in held]
        queued = dict(snapshot.queued)
        for r in held:
            queued[r.queue] = queued.get(r.queue, 0) + 1
        snapshot = replace(snapshot, reservations=(*snapshot.reservations, *held), queued=queued)
    return ticks, went


@pytest.mark.parametrize("place", ["tightest", "least_loss"])
@pytest.mark.parametrize("order", ["oldest", "shortest", "area", "largest", "fifo"])
def test_many_short_ticks_start_the_same_jobs_in_the_same_order_at_the_same_places_as_a_long_one(
    order: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(order=order, place=place, depth={"gpu": 3, "cpu": 3})  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(admission, "MOST_ADMITTED", 10_000)
    one, at_once = all_ticks(limits)
    monkeypatch.setattr(admission, "MOST_ADMITTED", 3)
    many, in_parts = all_ticks(limits)

    assert in_parts == at_once
    assert len(one) == 1
    assert len(many) > 5
    assert all(len(tick.admit) <= 3 for tick in many)
    assert [hold.class_id for hold in many[-1].hold] == [hold.class_id for hold in one[-1].hold]


def test_it_looks_again_at_once_while_more_could_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_ADMITTED", 3)
    decision = decide(Snapshot(now=1000.0, nodes=NODES), candidates(set()), Limits())

    assert len(decision.admit) == 3
    assert decision.next_tick_s == 0.0
