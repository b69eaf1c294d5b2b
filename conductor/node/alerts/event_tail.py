"""What the stream of events tells of the last hour: schedules left out, receipts that are not whole.

Read on from where the look before ended; at the beginning from the last few thousand.
"""

from __future__ import annotations

from collections import Counter, deque

from conductor.model.told_event import ToldEvent
from conductor.ports import Ledger

HOUR_S = 3600.0
BEGIN, MOST_READ, MOST_KEPT = 2000, 2000, 1000
#: Event → what is wrong with receipts where it is said. Lines that are cut are not among them: whoever reads
#: the files says so again each time, and a new one is seen in the file itself.
FAULTS = {
    "receipts.not_mended": "a file of receipts is gone and cannot be written again",
    "receipts.unseen": "receipts of a node do not come into this folder",
    "output.altered": "a published file was altered",
    "file.mended": "a file that only grows had lost lines, which were written again",
}


class EventTail:
    def __init__(self) -> None:
        self._after: str | None = None
        self._kept: deque[ToldEvent] = deque(maxlen=MOST_KEPT)

    def look(self, ledger: Ledger) -> None:
        """Read on. Raises `Unreachable`."""
        if self._after is None:
            found = ledger.events.latest(BEGIN)
        else:
            found = ledger.events.read(self._after, MOST_READ)
        if found or self._after is None:
            self._after = found[-1].id if found else "0-0"
        self._kept.extend(e for e in found if e.name == "schedule.skipped" or e.name in FAULTS)

    def skipped(self, now: float) -> dict[str, int]:
        """Schedule → fires of the last hour that were left out."""
        found: Counter[str] = Counter()
        for event in self._lately(now):
            if event.name == "schedule.skipped":
                found[str(event.fields.get("schedule", ""))] += int(event.fields.get("fires") or 1)
        return dict(found)

    def receipt_faults(self, now: float) -> tuple[str, ...]:
        faults = (
            f"{FAULTS[event.name]} ({event.fields.get('file') or event.source})"
            for event in self._lately(now)
            if event.name in FAULTS
        )
        return tuple(dict.fromkeys(faults))

    def _lately(self, now: float) -> list[ToldEvent]:
        return [event for event in self._kept if event.at > now - HOUR_S]
