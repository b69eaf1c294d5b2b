"""What `status` says beyond its numbers."""

from __future__ import annotations

from msgspec.structs import replace

from conductor.model.pilot import EngineState
from conductor.views.status import Status, status_with_notes

WAITS = Status(now=1_700_000_000.0, leader="conductor-1", backlogs={"night": {"waiting": 3}})


def test_where_no_node_runs_it_says_who_brings_one() -> None:
    (by_hand,) = status_with_notes(WAITS).notes
    (by_engine,) = status_with_notes(replace(WAITS, engines=(EngineState(name="lab"),))).notes

    assert by_hand == "no node is running: `conductor node` on each host with workers"
    assert by_engine == "no node is running: lab may bring one"
