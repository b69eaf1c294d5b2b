"""What is kept of reservations from tick to tick: only what holds otherwise is counted anew."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from conductor.core.capacity.in_flight import Reservations
from conductor.model.receipt import Usage
from tests.builders import NOW, a_reservation

JOB = a_reservation("j1", backlog="night", vram_mib=100, ram_mib=10, cpu=1.0, held={":licences": 1})


def test_a_job_that_starts_and_tells_its_use_is_not_counted_out_and_in_again():
    later = replace(JOB, state="running", started_at=NOW, worker="w1", usage=Usage(vram_mib=90))
    kept = Reservations([JOB], NOW)
    assert kept.changes([later]) == ([], [later])
    kept.add(later)
    assert list(kept.on(JOB.node)) == [later]
    assert kept.held(":licences") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"node": "node2"},
        {"backlog": "day"},
        {"class_id": "another"},
        {"lane": "io"},
        {"devices": ("gpu0", "gpu1")},
        {"vram_mib": 200},
        {"ram_mib": 20},
        {"cpu": 2.0},
        {"held": {"node1:licences": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_that_holds_otherwise_is_counted_anew(change: dict[str, Any]):
    later = replace(JOB, **change)
    assert Reservations([JOB], NOW).changes([later]) == ([JOB], [later])
