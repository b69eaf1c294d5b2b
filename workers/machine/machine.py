"""The attempts one worker has started, on their way: begun in order, ended one by one, handed in together.

`next` gives the most pressing thing that follows from where they lie (`hand`); whoever does it calls the
event that its action names. Nothing here waits, or asks the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from conductor.core.failures.failure_counts import COUNTS
from conductor.model.ledger_entries import Begun, Preloaded
from workers.machine.actions import (
    Action,
    Disown,
    Doubt,
    Fail,
    Give,
    LookAtBody,
    Preload,
    Publish,
    ReleaseLeases,
    TakeBack,
)
from workers.machine.batching import WINDOW, Batching
from workers.machine.body_watch import LONG_S
from workers.machine.held_attempts import Hand, Key
from workers.machine.interrupts import Interrupts
from workers.machine.row import ChildRow
from workers.machine.turns import LedgerTurns

if TYPE_CHECKING:
    from conductor.model.causes import Cause
    from workers.attempt.attempt import Attempt
    from workers.attempt.outcome import Done, Unpublished


class WorkerMachine:
    """One worker's. Times are monotonic."""

    def __init__(self, worker: str, queue: str, lease_s: float, in_hand: Sequence[Key] = ()) -> None:
        """`queue`: taken from until this worker is told to leave; empty: it leaves after `in_hand`, (job id,
        attempt) of entries that were taken already."""
        self._orders: deque[Action] = deque()
        self.hand, self.interrupts = Hand(), Interrupts()
        self._batching = Batching(self.hand, self.interrupts, queue)
        self.row = ChildRow(self.hand, self.interrupts, self._batching, self._orders)
        self.turns = LedgerTurns(
            worker, queue, lease_s, self.hand, self.interrupts, self._batching, self._orders, in_hand
        )
        self._words: deque[Preloaded] = deque()
        #: Of the successor that is preloaded; None: not looked at since something was heard.
        self._is_doubtful: bool | None = None
        self._has_failed = False

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────

    def preloaded(self, word: Preloaded) -> None:
        """Of the ledger, about who goes next where the one that runs ends well."""
        self._words.append(word)

    def not_preloaded(self, word: Preloaded) -> None:
        """It cannot just follow here. Then it goes the usual way, or to another worker."""
        self.hand.refuse(begun_of(word))

    def doubted(self, is_doubtful: bool) -> None:
        self._is_doubtful = is_doubtful

    def listened(self, is_quiet: bool, has_more: bool, now: float) -> None:
        """`has_more`: has come in, and was not heard."""
        self._is_doubtful, self._batching.has_more = None, has_more
        self.row.listened(is_quiet, now)

    def published(self, done: Done, at: float) -> None:
        """`at`: when its body ended."""
        self._batching.done(at)
        self.hand.succeed(done)

    def unpublished(self, what: Unpublished) -> None:
        """It did not end well, could not be put in place, or is not this worker's any more."""
        self.hand.fail(what)

    def settled(self, what: Unpublished, cause: Cause | None) -> None:
        """The ledger knows that it failed, and why; or it was dropped (None)."""
        held = self.hand.out(what)
        self.interrupts.forget((what.attempt.job_id, what.attempt.number))
        if held is not None:
            self._orders.append(ReleaseLeases((held,)))
        self._has_failed |= cause is not None and COUNTS[cause].when == "always"

    # ── what follows ──────────────────────────────────────────────────────────────────────────────────────

    def ordered(self) -> Action | None:
        """What follows from the last event, whatever is said from outside meanwhile; None: ask for `next`."""
        return self._orders.popleft() if self._orders else None

    def next(self, now: float) -> Action | None:
        """None: this worker leaves."""
        if self._orders:
            return self._orders.popleft()
        return (
            self.row.blame()
            or self.turns.opening
            or self._settle(now)
            or self.turns.asking()
            or self._preload()
            or self._reconsider(now)
            or self._hand_in()
            or self.turns.due(now)
            or self._feed()
            or self._publish()
            or self._listen(now)
            or self.turns.idle()
        )

    def _settle(self, now: float) -> Action | None:
        """One that began and may not run is ended before the ledger hears that the one before it did not
        end well.
        """
        if not (self.hand.failing or self.turns.needs_end_of_follower):
            return None
        follower = self.hand.follower
        if follower is None:
            return Fail(self.hand.failing[-1]) if self.hand.failing else None
        key = follower.job_id, follower.number
        if self.interrupts.verdict(key) is None:
            self.interrupts.lease(key, "gone")
            return Disown(follower)
        return self._publish() or self.row.attend(now)

    def _hand_in(self) -> Action | None:
        """The next body begins before what is left to do for those that are over."""
        return (self._feed() or self.turns.handing) if self.turns.handing is not None else None

    def _feed(self) -> Action | None:
        hand = self.hand
        if not hand.waiting or not self.row.can_take or len(hand.given) >= WINDOW:
            return None
        first = hand.waiting[0]
        if (fault := self.interrupts.why_not_begin((first.job_id, first.number))) is not None:
            self.row.over_unbegun(fault)
            return self._publish()
        # The first one alone: its turn has begun before the others are on their way.
        room = WINDOW - len(hand.given) if hand.given else 1
        fit = takewhile(
            lambda each: self.interrupts.why_not_begin((each.job_id, each.number)) is None,
            islice(hand.waiting, room),
        )
        return Give(tuple(fit))

    def _publish(self) -> Action | None:
        ended = self.hand.ended
        if not ended:
            return None
        running = self.hand.running if len(ended) == 1 else None
        return Publish(ended[0], running if running is not None and running.behind is not None else None)

    def _listen(self, now: float) -> Action | None:
        if not self.hand.given and not (self.hand.waiting and self.row.has_to_pass):
            return None
        batching = self._batching
        return self.row.attend(now, batching.patience_s(now, self.row.long_at), batching.nap_s(now))

    # ── others may have the rest ──────────────────────────────────────────────────────────────────────────

    def _reconsider(self, now: float) -> Action | None:
        """The one that runs is not short after all, or this worker is to leave: others may have the rest.

        After a failure too: the next ones may fail alike, and the conductor says how many more of them are to
        try."""
        hand = self.hand
        if not hand.waiting and len(hand.given) < 2:  # Nothing to take back: as it is between long jobs.
            self._has_failed = False
            return None
        if hand.successor is not None:
            return self._reconsider_successor(hand.successor)
        if now >= self.row.long_at and not self.row.is_long:
            return LookAtBody()
        is_long = self.row.is_long
        is_over = is_long or self._has_failed or self.interrupts.is_asked
        if is_over:
            if self.row.may_take_back(None):
                return TakeBack(None)
            hand.leave()
            if is_long and (running := hand.running) is not None:
                self._batching.task_durations.saw(running.spec.task, LONG_S)
        self._has_failed = False
        return None

    def _reconsider_successor(self, successor: Attempt) -> Action | None:
        if not self.row.may_take_back(1):
            return None  # It has begun.
        if self._has_failed or self.interrupts.is_asked or self._is_doubtful:
            return TakeBack(1)
        return Doubt(successor) if self._is_doubtful is None else None

    # ── a successor ───────────────────────────────────────────────────────────────────────────────────────

    def _preload(self) -> Action | None:
        """All that was heard since, once what was there before is on its way."""
        hand = self.hand
        while self._words and hand.given and not hand.waiting and not hand.ended:
            word, running = self._words.popleft(), hand.given[0]
            if (running.job_id, running.number) != (word.predecessor, word.of_attempt):
                continue  # The end of that one ended this too.
            behind, named = hand.successor, (word.job_id, word.attempt)
            is_there = behind is not None and (behind.job_id, behind.number) == named
            if word.successor is None:
                if is_there:
                    # It alone: the one before it may not have begun either, and is to.
                    return TakeBack(1)
            elif is_there or named in [(each.job_id, each.attempt) for each in hand.not_begun]:
                # Said again by a server that stepped back. What is refused must not begin all the same.
                continue
            elif self._may_follow(running):
                return Preload(word, word.successor, running)
            else:
                hand.refuse(begun_of(word))
        return None

    def _may_follow(self, running: Attempt) -> bool:
        if len(self.hand.given) != 1 or not self.row.can_take or running.behind is not None:
            return False
        is_to_end = self.interrupts.verdict((running.job_id, running.number)) is not None
        return not is_to_end and not self.interrupts.is_asked


def begun_of(word: Preloaded) -> Begun:
    return Begun(
        predecessor=word.predecessor, of_attempt=word.of_attempt, job_id=word.job_id, attempt=word.attempt
    )
