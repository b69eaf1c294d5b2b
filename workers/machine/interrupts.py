"""What a worker was told from outside: to leave, and which of its attempts are to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.task_api import failure_causes
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.isolation.held_attempt import Verdict
    from workers.machine.held_attempts import Key


class Interrupts:
    """How urgently this worker is to leave (0: it stays), and what was heard of the attempts in hand."""

    def __init__(self) -> None:
        self.level = 0
        self._verdicts: dict[Key, Verdict] = {}
        self._overruns: dict[Key, AttemptFault] = {}

    @property
    def is_asked(self) -> bool:
        return self.level > 0

    @property
    def is_urgent(self) -> bool:
        return self.level > 1

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────

    def leave(self, level: int) -> None:
        """1: what runs is finished first. 2: it is stopped."""
        self.level = max(self.level, level)

    def lease(self, key: Key, verdict: Verdict) -> None:
        """Cancelled, or gone to another worker. The first word counts."""
        self._verdicts.setdefault(key, verdict)

    def overran(self, key: Key, fault: AttemptFault) -> None:
        """It takes more than was reserved for it, and is the one to go."""
        self._overruns[key] = fault

    def forget(self, key: Key) -> None:
        self._verdicts.pop(key, None)
        self._overruns.pop(key, None)

    # ── what follows ──────────────────────────────────────────────────────────────────────────────────────

    def verdict(self, key: Key) -> Verdict | None:
        return self._verdicts.get(key)

    def why_not_begin(self, key: Key) -> AttemptFault | None:
        verdict = self._verdicts.get(key)
        if verdict == "cancel":
            return failure_causes.CANCELLED
        if verdict == "gone" or self.is_urgent:
            return AttemptFault("worker_lost", "the attempt was taken from its worker before it began")
        return None

    def why_leave(self, key: Key) -> AttemptFault | None:
        """Of the body that runs."""
        if self._verdicts or self._overruns:
            verdict = self._verdicts.get(key)
            if verdict == "cancel":
                return failure_causes.CANCELLED
            if verdict == "gone":
                return AttemptFault("worker_lost", "the attempt was given to another worker")
            if key in self._overruns:
                return self._overruns[key]
        return AttemptFault("worker_lost", "the worker was told to stop at once") if self.is_urgent else None
