"""The preloaded successor of the body that runs: it lies ready in the child and begins when that one ends
well, before the ledger is asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workers.attempt import saved_outputs
from workers.attempt.attempt import Attempt, AttemptRefused
from workers.isolation.child_process import ChildBroken
from workers.machine.machine import begun_of

if TYPE_CHECKING:
    from workers.attempt.parts import Parts
    from workers.machine.actions import Preload
    from workers.machine.held_attempts import Hand
    from workers.parent.execution import Course


class PreloadedSuccessors:
    """One worker's, main thread only: what only files, clocks and the child can tell of who is preloaded."""

    def __init__(self, parts: Parts, hand: Hand, course: Course) -> None:
        self._parts = parts
        self._hand = hand
        self._course = course

    def is_preloaded(self, action: Preload) -> bool:
        """False: it cannot just follow here. Then it goes the usual way, or to another worker."""
        parts, running = self._parts, action.running
        try:
            attempt = Attempt(action.started, parts.catalogue, parts.settings, running.held.valid_until)
        except AttemptRefused:
            return False
        attempt.behind, attempt.as_of = begun_of(action.word), self._heard_of(running)
        if running.held.verdict is not None or self.is_doubtful(attempt):
            return False
        if saved_outputs.find(parts.settings.layout, attempt.spec, attempt.number) is not None:
            return False
        saved_outputs.clean_before(parts.settings.layout, attempt.spec, attempt.number)
        _ = attempt.code_version  # As it is now: that is what the child will run.
        running.held.behind = action.started.reservation.disk
        try:
            self._course.give(attempt)
        except ChildBroken:
            running.held.behind = {}
            return False  # Met by who listens to the child.
        return True

    def is_doubtful(self, successor: Attempt) -> bool:
        """Not by this child, or not any more: the one that runs may have lost its place, or the ledger its
        claim.
        """
        running = self._hand.running
        if running is None:
            return self.has_to_wait(successor)
        has_forgotten = bool(running.held.behind) and successor.as_of != self._heard_of(running)
        return has_forgotten or time.monotonic() >= running.held.valid_until or self.has_to_wait(successor)

    def has_to_wait(self, attempt: Attempt) -> bool:
        """Until the child is idle: it has to be replaced, or bodies left something behind."""
        return self._parts.host.is_due(attempt.visible)

    def _heard_of(self, running: Attempt) -> tuple[int, int]:
        return running.held.adopted, self._parts.lining.breaks if self._parts.lining else 0
