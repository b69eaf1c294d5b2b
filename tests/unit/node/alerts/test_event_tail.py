"""What the stream of events tells of the last hour."""

from __future__ import annotations

from typing import Any

from builders import NOW

from conductor.model.events import EVENTS
from conductor.model.told_event import ToldEvent
from conductor.node.alerts.event_tail import FAULTS, EventTail
from conductor.ports import Ledger


def told(name: str, at: float = NOW, **fields: Any) -> ToldEvent:
    return ToldEvent(name=name, at=at, source="conduct@here", fields=fields)


def test_what_it_looks_for_are_events_of_the_table() -> None:
    assert {"schedule.skipped", *FAULTS} <= set(EVENTS)


def test_schedules_that_were_left_out_are_counted_and_nothing_is_counted_twice(memory_ledger: Ledger) -> None:
    tail = EventTail()
    tail.look(memory_ledger)
    memory_ledger.events.append(
        [
            told("schedule.skipped", schedule="nightly", fires=2),
            told("job.done", task="media.cut"),
            told("schedule.skipped", at=NOW - 3601, schedule="nightly", fires=5),
        ]
    )
    for _ in range(3):
        tail.look(memory_ledger)
    memory_ledger.events.append([told("schedule.skipped", schedule="nightly", fires=1)])
    tail.look(memory_ledger)
    assert tail.skipped(NOW) == {"nightly": 3}
    assert tail.skipped(NOW + 3600) == {}


def test_a_node_that_begins_hears_what_was_said_before(memory_ledger: Ledger) -> None:
    mended = told("file.mended", file="receipts/a.jsonl", lines=2)
    altered = told("output.altered", file="published:a.mp4")
    memory_ledger.events.append([mended, mended, told("receipts.unseen", node="node2", file="b"), altered])
    tail = EventTail()
    tail.look(memory_ledger)
    assert tail.receipt_faults(NOW) == (
        "a file that only grows had lost lines, which were written again (receipts/a.jsonl)",
        "receipts of a node do not come into this folder (b)",
        "a published file was altered (published:a.mp4)",
    )
    assert tail.receipt_faults(NOW + 3600) == ()
