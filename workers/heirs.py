"""Who goes next where the one that runs ends well lies ready in the child: it begins before anyone is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from conductor.model.entries import Begun
from workers import kept
from workers.attempt import Attempt, Refused
from workers.host import ChildBroken

if TYPE_CHECKING:
    from conductor.model.entries import Lined, Started
    from workers.attempt_parts import Parts
    from workers.body import Course
    from workers.hand import Hand


class Heirs:
    """One worker's, main thread only: what it hears of who is lined up, and takes back."""

    def __init__(self, parts: Parts, hand: Hand, course: Course) -> None:
        self._parts = parts
        self._hand = hand
        self._course = course

    def line_up(self) -> None:
        """All that was heard since."""
        hand = self._hand
        while self._parts.lining is not None and (word := self._parts.lining.next()) is not None:
            running = hand.running
            if running is None or (running.job_id, running.number) != (word.predecessor, word.of_attempt):
                continue  # The end of that one ended this too.
            if word.heir is None:
                heir = hand.heir
                if heir is not None and (heir.job_id, heir.number) == (word.job_id, word.attempt):
                    # It alone: the one before it may not have begun either, and is to.
                    self._course.take_back(1)
            elif not self._is_lined_up(running, word, word.heir):
                hand.refuse(begun_of(word))

    def _is_lined_up(self, running: Attempt, word: Lined, heir: Started) -> bool:
        """False: it cannot just follow here. Then it goes the usual way, or to another worker."""
        course, hand, parts = self._course, self._hand, self._parts
        if hand.waiting or hand.has_ended or len(hand.given) != 1 or not course.can_take or parts.stopping.is_asked:
            return False
        try:
            attempt = Attempt(heir, parts.catalogue, parts.settings, running.held.valid_until)
        except Refused:
            return False
        attempt.behind, attempt.as_of = begun_of(word), self._heard_of(running)
        if running.behind is not None or running.held.verdict is not None or self.is_doubtful(attempt):
            return False
        if kept.find(parts.settings.layout, attempt.spec, attempt.number) is not None:
            return False
        kept.clean_before(parts.settings.layout, attempt.spec, attempt.number)
        _ = attempt.code_version  # As it is now: that is what the child will run.
        running.held.behind = heir.reservation.disk
        try:
            course.give(attempt)
        except ChildBroken:
            running.held.behind = {}
            return False  # Met by who listens to the child.
        return True

    def is_doubtful(self, heir: Attempt) -> bool:
        """Not by this child, or not any more: the one that runs may have lost its place, or the ledger its claim."""
        running = self._hand.running
        if running is None:
            return self.has_to_wait(heir)
        has_forgotten = bool(running.held.behind) and heir.as_of != self._heard_of(running)
        return has_forgotten or time.monotonic() >= running.held.valid_until or self.has_to_wait(heir)

    def has_to_wait(self, attempt: Attempt) -> bool:
        """Until the child is idle: it has to be replaced, or bodies left something behind."""
        return self._parts.host.is_due(attempt.visible)

    def _heard_of(self, running: Attempt) -> tuple[int, int]:
        return running.held.adopted, self._parts.lining.breaks if self._parts.lining else 0


def begun_of(word: Lined) -> Begun:
    return Begun(predecessor=word.predecessor, of_attempt=word.of_attempt, job_id=word.job_id, attempt=word.attempt)
