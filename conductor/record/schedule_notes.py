"""What the journal says of schedules: where each stood when it was last heard of.

For a ledger that was emptied, or that stepped back."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from conductor.record.journal_notes import Note


class ScheduleNotes(Struct):
    """One schedule. `is_paused`: the operator's last word; None: there was none."""

    handled_to: int = 0
    is_paused: bool | None = None


def schedules_of(notes: Iterable[Note]) -> dict[str, ScheduleNotes]:
    found: dict[str, ScheduleNotes] = {}
    for note in notes:
        match note.what:
            case "fire_ended" | "fires_skipped":
                state = found.setdefault(note.schedule, ScheduleNotes())
                if not note.is_by_hand:
                    state.handled_to = max(state.handled_to, note.instant)
            case "schedule_paused" | "schedule_resumed":
                state = found.setdefault(note.schedule, ScheduleNotes())
                state.is_paused = note.what == "schedule_paused"
                state.handled_to = max(state.handled_to, note.instant)
            case _:
                pass
    return found
