"""The bodies that the child was given, one behind the other. The first is the one that runs; the others have
not begun, and can be taken back: what the child did not take a ticket for, it does not run."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from workers.isolation.protocol import BodyEnded, BodyProgress
from workers.machine.actions import Action, Begin, FindFault, KillChild, Listen, StopBody, TakeBack
from workers.machine.body_watch import BodyWatch
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.attempt.attempt import Attempt
    from workers.machine.batching import Batching
    from workers.machine.held_attempts import Hand, Key
    from workers.machine.interrupts import Interrupts

#: A child that runs nothing says what it did not begin: one that does not for so long is broken.
PASS_LIMIT_S = 60.0
UNHEARD = AttemptFault("worker_lost", "its process went before it was heard how it ended")
GARBLED = "the task's process said something unintelligible"
SILENT = AttemptFault("task_error", f"{GARBLED}: for {PASS_LIMIT_S:g} s it did not say what it has not begun")


class ChildRow:
    """One worker's. Everything given is under the deadline of the one that runs, or of those before it."""

    def __init__(self, hand: Hand, interrupts: Interrupts, batching: Batching, orders: deque[Action]) -> None:
        self._hand = hand
        self._interrupts = interrupts
        self._batching = batching
        self._orders = orders
        self._watch: BodyWatch | None = None
        #: Taken back; the child will say that it passed them over before it runs what it is given next.
        self._passing: set[Key] = set()
        self._pass_until = 0.0
        #: The child cannot take what comes next behind what it has: until something was heard.
        self._stays = False
        self._has_taken_back: set[int | None] = set()
        self._to_kill: AttemptFault | None = None
        #: The child is gone, and the one that is still given was running.
        self._is_to_blame, self._fault = False, None

    @property
    def can_take(self) -> bool:
        """Not while the child still has to pass over some, and not behind others what it could not take
        just now.
        """
        return not self._passing and not (self._stays and self._hand.given)

    @property
    def long_at(self) -> float:
        """When to look whether the one that runs is long; never, while none does."""
        return self._watch.long_at if self._watch else inf

    @property
    def is_long(self) -> bool:
        """The one that runs is none of the short ones, as was seen."""
        return self._watch is not None and self._watch.is_long

    @property
    def is_leaving(self) -> bool:
        """The body that runs was asked to leave: what it says of its end is not the reason."""
        return self._watch is not None and self._watch.leaving is not None

    @property
    def has_to_pass(self) -> bool:
        return bool(self._passing)

    def is_passing(self, key: Key) -> bool:
        return key in self._passing

    def may_take_back(self, most: int | None) -> bool:
        """Once between two hearings: what had begun by then has."""
        return bool(self._hand.given) and most not in self._has_taken_back

    # ── events: what was given, and what became of it ─────────────────────────────────────────────────────

    def given(self, attempt: Attempt, now: float) -> None:
        """The child has it, or will find it."""
        self._hand.give(attempt)
        self._look(now)

    def over_unbegun(self, said: BodyEnded | AttemptFault) -> None:
        """The first of those that wait has no need of a body, or must not have one."""
        self._hand.end_unbegun(said)

    def stays(self) -> None:
        """The child is to be replaced once it is idle, or is gone with what it was given before."""
        self._stays = True

    def false_start(self, words: str) -> None:
        """No child, or it went as soon as it was asked to run that one alone. Once it may try again, with
        another.
        """
        first = self._hand.waiting[0]
        self._passing.clear()
        first.false_starts += 1
        if first.false_starts > 1:
            self.over_unbegun(AttemptFault("worker_lost", words))

    def took_back(self, most: int | None, count: int, now: float) -> None:
        """The last `count` of what was given have not begun."""
        self._has_taken_back.add(most)
        self._pass_over(count, now)
        self._look(now)

    # ── events: what the child said ───────────────────────────────────────────────────────────────────────

    def progressed(self, fraction: float, note: str, now: float) -> None:
        """Of the one that runs."""
        if self._watch is not None:
            self._watch.note(fraction, note, now)

    def looked(self, has_had_a_core: bool, now: float) -> None:
        """At the one that runs."""
        if self._watch is not None:
            self._watch.looked(has_had_a_core, now)

    def passed(self, key: Key) -> None:
        self._passing.discard(key)

    def ended(self, word: BodyEnded, now: float) -> None:
        """Of the one that runs. Asked to leave, it left: what it says of its own end is not the reason."""
        first, watch = self._hand.running, self._watch
        assert first is not None and watch is not None, "somebody runs"
        self._end(first, word, watch.leaving or word)
        if word.breaks_off:
            # Short bodies may fail faster than anyone hears of it: the child passes the others over, and says
            # so.
            self._pass_over(len(self._hand.given), now)
        self._look(now, first, word.log_bytes)

    def gone(self, unbegun: int, words: Sequence[object], fault: AttemptFault | None, now: float) -> None:
        """The child is. What it still said counts, what it had not begun goes back, and the one that ran is
        to blame; where none had begun, the first one is the second time. `fault`: why it was killed."""
        hand, first = self._hand, self._hand.running
        self._passing.clear()
        self._watch, self._to_kill = None, None
        for word in words:
            if isinstance(word, BodyEnded) and hand.running is not None and is_of(word, hand.running):
                self._orders.append(Begin(None, hand.running, word.log_bytes))
                self._end(hand.running, word, word)
                if word.breaks_off:
                    hand.take_back(len(hand.given))
        unbegun = min(unbegun, len(hand.given))
        if (
            first is not None
            and hand.running is first
            and unbegun == len(hand.given)
            and first.behind is None
        ):
            first.false_starts += 1
            unbegun -= first.false_starts > 1
        hand.take_back(unbegun)
        while len(hand.given) > 1:
            hand.end(UNHEARD)
        self._is_to_blame, self._fault = bool(hand.given), fault

    def blamed(self, fault: AttemptFault) -> None:
        self._is_to_blame, self._fault = False, None
        self._hand.end(fault)

    def listened(self, is_quiet: bool, now: float) -> None:
        """`is_quiet`: nothing is left to be heard. A body is late only then."""
        self._stays = False
        self._has_taken_back.clear()
        if not is_quiet:
            return
        if self._watch is not None:
            self._to_kill = self._watch.overdue(now)
        elif self._passing and now >= self._pass_until:
            self._to_kill = SILENT

    # ── what follows ──────────────────────────────────────────────────────────────────────────────────────

    def blame(self) -> FindFault | None:
        if not self._is_to_blame or (running := self._hand.running) is None:
            return None
        return FindFault(running, self._fault)

    def attend(self, now: float, limit_s: float | None = None, nap_s: float = 0.0) -> Action:
        """A body that is to leave is asked to, once nothing behind it can be meant; one that does not is
        killed.
        """
        if self._to_kill is not None:
            return KillChild(self._to_kill)
        first, watch = self._hand.running, self._watch
        if first is None or watch is None:
            return Listen(self._pass_until, limit_s)
        if (
            watch.leaving is None
            and (fault := self._interrupts.why_leave((first.job_id, first.number))) is not None
        ):
            if self.may_take_back(None):
                return TakeBack(None)
            # Two have begun: the first one's end is on its way, and will be heard first.
            if len(self._hand.given) == 1:
                watch.leave(fault, now)
                return StopBody()
        return Listen(watch.until, limit_s, nap_s)

    # ── the row ───────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, attempt: Attempt, word: BodyEnded, said: BodyEnded | AttemptFault) -> None:
        self._hand.end(said)
        if isinstance(said, BodyEnded) and word.files is None and word.began_at is not None:
            # One that had to import its modules says nothing of the next.
            self._batching.task_durations.saw(attempt.spec.task, word.seconds - word.run_delay_s)

    def _pass_over(self, count: int, now: float) -> None:
        """The last so many of what was given have not begun, and the child will say so."""
        if count:
            given = self._hand.given
            self._passing.update((given[-n].job_id, given[-n].number) for n in range(1, count + 1))
            self._pass_until = now + PASS_LIMIT_S
            self._hand.take_back(count)

    def _look(self, now: float, ended: Attempt | None = None, log_bytes: int | None = None) -> None:
        """Is another one the first?"""
        first, begins = self._hand.running, None
        if first is None:
            self._watch = None
        elif self._watch is None or self._watch.attempt is not first:
            self._watch, begins = BodyWatch(first, now), first
        if ended is not None or begins is not None:
            self._orders.append(Begin(begins, ended, log_bytes))


def is_of(word: BodyEnded | BodyProgress, attempt: Attempt) -> bool:
    return word.job_id == attempt.job_id and word.attempt == attempt.number
