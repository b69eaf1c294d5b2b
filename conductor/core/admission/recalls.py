"""What the operator's word takes back: jobs that were handed over to where nothing new is to start, and that
nobody has begun. Pure.

The step that hands a job over asks the same (`is_held_back` of `hand_over.lua`); this is for those that were
handed over before the word was said.
"""

from __future__ import annotations

from collections.abc import Iterable

from conductor.model.snapshot import Controls, Reservation


def recalled(held: Iterable[Reservation], controls: Controls) -> dict[tuple[str, str], list[Reservation]]:
    """(Node, why) → the jobs that go back."""
    found: dict[tuple[str, str], list[Reservation]] = {}
    for reservation in held:
        if reservation.state == "admitted" and (why := _why(reservation, controls)):
            found.setdefault((reservation.node, why), []).append(reservation)
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
