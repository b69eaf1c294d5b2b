"""Which jobs that were handed over, and that nobody has begun, go back: nothing new is to start there by the
operator's word, or it would not be over before its node ends, or its node is gone. Pure.

The hand-over asks the same (`is_held_back` of `hand_over.lua`, `node_bounds.py`); this is for those that were
handed over before.
"""

from __future__ import annotations

from collections.abc import Collection

from conductor.model.snapshot import Controls, Reservation, Snapshot


def recalled(seen: Snapshot, gone: Collection[str] = ()) -> dict[tuple[str, str], list[Reservation]]:
    """(Node, why) → the jobs that go back. `gone`: nodes that report no more."""
    left_s = {node.node: node.ends_at - seen.now for node in seen.nodes if node.ends_at is not None}
    if seen.controls == Controls() and not left_s and not gone:
        return {}
    found: dict[tuple[str, str], list[Reservation]] = {}
    for held in seen.reservations:
        if held.state != "admitted":
            continue
        why = _why(held, seen.controls)
        if not why and left_s.get(held.node, float("inf")) <= held.expected_s:
            why = f"{held.node} ends before they would be over"
        if not why and held.node in gone:
            why = f"{held.node} reports no more"
        if why:
            found.setdefault((held.node, why), []).append(held)
    return found


def _why(held: Reservation, controls: Controls) -> str:
    if controls.is_draining:
        return "every node drains"
    if held.node in controls.draining_nodes:
        return f"{held.node} drains"
    if held.lane in controls.paused_lanes:
        return f"the lane {held.lane} is paused"
    if held.backlog in controls.paused_backlogs:
        return f"the backlog {held.backlog} is paused"
    places = (f"{held.node}/{device}" for device in held.devices)
    paused = next((place for place in places if place in controls.paused_devices), "")
    return f"{paused} is paused" if paused else ""
