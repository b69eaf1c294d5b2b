"""How many short jobs are begun together, and when what is done is handed in. A long job goes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conductor.model.receipt import MOST_UNHEARD
from workers.machine.task_durations import TOGETHER_S, Paces

if TYPE_CHECKING:
    from workers.machine.held_attempts import Hand
    from workers.machine.interrupts import Interrupts

#: What is done is handed in after so long at the latest, while others go on.
FLUSH_S = 0.04
#: So much is to be left when a worker has its turn: the next are there before the child has run dry. Not for
#: less than half of that, so that many share a turn.
AHEAD_S = 0.05
#: While a successor is preloaded it is looked so often whether it may still begin: new code, lost lease.
LOOK_S = 1.0
#: Given to the child ahead of time.
WINDOW = 32


class Batching:
    """One worker's. Times are monotonic."""

    def __init__(self, hand: Hand, interrupts: Interrupts, queue: str) -> None:
        """`queue`: taken from as long as jobs are short; empty: nothing but what the worker was given."""
        self._hand = hand
        self._interrupts = interrupts
        self._queue = queue
        self.task_durations = Paces()
        #: More has come in from the child than was heard.
        self.has_more = False
        #: When the first of those to be handed in was done.
        self._done_at = 0.0

    def done(self, at: float) -> None:
        """One more is about to be."""
        if not self._hand.done:
            self._done_at = at

    def room(self) -> tuple[int, float]:
        """How many more to take, and for how long; nothing beside a job that is not known to be short."""
        if not self._queue or self._interrupts.is_asked or self._hand.successor is not None:
            return 0, 0.0
        left_s, count, short = TOGETHER_S, 0, self.task_durations.short()
        for attempt in self._hand.in_child():
            pace = short.get(attempt.spec.task)
            left_s -= TOGETHER_S if pace is None else pace
            count += 1
        most = MOST_UNHEARD - count
        return (most, left_s) if left_s > 0 and most > 0 else (0, 0.0)

    def is_due(self, now: float) -> bool:
        """Is it time to hand in what is done?"""
        hand = self._hand
        if not hand.done:
            return False
        if hand.is_idle or len(hand.done) >= MOST_UNHEARD or hand.follower is not None:
            return True
        if hand.ended or (hand.given and self.has_more):
            return False  # More have ended by now.
        is_dry = (self._left_s() or 0.0) <= AHEAD_S
        return now >= self._done_at + (AHEAD_S / 2 if is_dry else FLUSH_S)

    def patience_s(self, now: float, long_at: float) -> float | None:
        """So long the child may be listened to before there is something else to do. `long_at`: the one that
        runs is to be looked at then.
        """
        hand = self._hand
        limits: list[float] = []
        if hand.done:
            limits.append(self._done_at + FLUSH_S - now)
        if hand.successor is not None:
            limits.append(LOOK_S)
        elif hand.given and (hand.waiting or len(hand.given) > 1):
            limits.append(long_at - now)
        return max(0.0, min(limits)) if limits else None

    def nap_s(self, now: float) -> float:
        """So long nobody need look: short bodies follow each other in the child, and are handed in
        together.
        """
        hand = self._hand
        if len(hand.given) < 2 or hand.successor is not None or (left_s := self._left_s()) is None:
            return 0.0
        first_s = self._done_at - now if hand.done else left_s / (len(hand.waiting) + len(hand.given))
        return max(0.0, min(first_s + FLUSH_S, left_s - AHEAD_S))

    def _left_s(self) -> float | None:
        """What was begun should take so long; None: not known."""
        total, short = 0.0, self.task_durations.short()
        for attempt in self._hand.in_child():
            pace = short.get(attempt.spec.task)
            if pace is None:
                return None
            total += pace
        return total
