"""Bodies on their way through the child, one behind the other. What they cannot be trusted with is enforced here.

What becomes of an attempt here is a move in the hand: nothing is handed back that a caller would have to keep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from conductor.adapters import oom
from workers import causes
from workers.causes import Fault
from workers.hand import End, Hand, Key
from workers.host import Host
from workers.protocol import Ended, Garbled, Passed, Progress
from workers.watch import BodyWatch, too_long, why_leave

if TYPE_CHECKING:
    from workers.attempt import Attempt
    from workers.stopping import Stopping

#: A child that runs nothing says what it did not begin: one that does not for so long is broken.
PASS_LIMIT_S = 60.0
_REFRESH_S = 0.25


class Course:
    """What the child was given, in order. The first is the one that runs; the others have not begun, and can be
    taken back from the child: what it did not take a ticket for, it does not run."""

    def __init__(self, host: Host, stopping: Stopping, hand: Hand) -> None:
        self._host = host
        self._stopping = stopping
        self._hand = hand
        self._watch: BodyWatch | None = None
        #: Taken back; the child will say that it passed them over before it runs what it is given next.
        self._passing: set[Key] = set()
        self._pass_until = 0.0
        #: For whoever looks from outside: how many have had their turn, the longest that one of those given may take.
        self.turns = 0
        self.longest_s = 0.0
        #: The child that was ended because of a deadline that nobody here had looked at.
        self.struck = 0
        #: The child that was ended because somebody had stopped it, and for how long (s) it stood.
        self.stood_still: tuple[int, float] = (0, 0.0)
        self._kills, self._refresh_at = oom.kills(), time.monotonic() + _REFRESH_S

    @property
    def can_take(self) -> bool:
        """Not while the child still has to pass over some."""
        return not self._passing

    @property
    def has_more(self) -> bool:
        """The next end was heard already: `wait` will not wait."""
        return self._hand.has_ended or (bool(self._hand.given) and self._host.channel.has_buffered())

    @property
    def began_at(self) -> float:
        """When the one that runs had its turn (monotonic)."""
        return self._watch.began_at if self._watch else time.monotonic()

    def ensure(self, devices: Sequence[str]) -> None:
        """While none runs: a child for what comes next. Raises `ChildBroken`."""
        before = self._host.pid
        self._host.ensure(devices)
        if self._host.pid != before:
            self._passing.clear()  # What the one before still had to pass over went with it.

    def give(self, attempt: Attempt) -> None:
        """The first of those that wait, or one to be lined up. The host was made sure of before.

        Raises `ChildBroken`: it stays where it was; where others are given, who listens hears of it."""
        if not self._hand.given:
            self._host.begin()
            self.longest_s = 0.0
        self._host.give(attempt.run)
        self._hand.give(attempt)
        self.longest_s = max(self.longest_s, attempt.request.timeout_s)
        self._look()

    def refresh(self) -> None:
        """What the kernel killed until now was none of what is given from now on. Now and then is often enough."""
        if time.monotonic() >= self._refresh_at:
            self._kills, self._refresh_at = oom.kills(), time.monotonic() + _REFRESH_S

    def take_back(self, most: int | None = None) -> None:
        """What has not begun does not begin; the last `most` at most."""
        if self._hand.given:
            self._pass_over(self._host.take_back(most))

    def give_up(self, attempt: Attempt) -> bool:
        """The child went as soon as it was asked to run that one alone. True: it may try again, with another."""
        self._host.kill()
        self._passing.clear()
        attempt.false_starts += 1
        return attempt.false_starts == 1

    def wait(self, limit_s: float | None, nap_s: float = 0.0) -> End | None:
        """The next end. None when the time was up, or somebody woke us. `nap_s`: so long only that is listened for."""
        if not self._hand.has_ended:
            if nap_s > 0 and not self._host.channel.has_buffered():
                self._stopping.sleep(nap_s)
            self._heed(lambda: self._listen(limit_s))
        return self._hand.pick()

    def let_pass(self, limit_s: float | None) -> None:
        """While nothing is given: hear what the child did not begin, until the time is up or somebody wakes us."""
        self._heed(lambda: self._listen_for_passed(limit_s))

    # ── the child ─────────────────────────────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        """Is another one the first?"""
        first = self._hand.running
        if first is None:
            self._watch = None
        elif self._watch is None or self._watch.attempt is not first:
            self._watch = BodyWatch(first)
            self.turns += 1
            first.begin(self._host.pid)

    def _next(self, ended: Ended, said: Ended | Fault) -> None:
        self._keep_words(ended.log_bytes)
        self._hand.end(said)
        if ended.breaks_off:
            # Short bodies may fail faster than anyone hears of it: the child passes the others over, and says so.
            behind = len(self._hand.given)
            self._host.passes_over(behind)
            self._pass_over(behind)
        if self._hand.given:
            self._host.begin(ended.log_bytes)
        self._look()

    def _pass_over(self, count: int) -> None:
        """The last so many of what was given have not begun, and the child will say so."""
        if count:
            given = self._hand.given
            self._passing.update((given[-n].job_id, given[-n].number) for n in range(1, count + 1))
            self._pass_until = time.monotonic() + PASS_LIMIT_S
            self._hand.take_back(count)
        self._look()

    def _heed(self, listen: Callable[[], None]) -> None:
        """Listen; and where there is nobody to listen to any more, settle what was given."""
        try:
            listen()
        except EOFError:
            pid, status = self._host.pid, self._host.bury()
            self._settle(lambda first: self._reason(first, pid, status))
        except Garbled as e:
            fault = Fault("task_error", f"the task's process said something unintelligible: {e}")
            self._kill(fault)

    def _reason(self, first: Attempt, pid: int, status: int | None) -> Fault:
        if pid == self.struck:
            return too_long(first)
        if pid == self.stood_still[0]:
            words = (
                f"the task's process stood still for {self.stood_still[1]:.0f} s, stopped by a signal, and was killed"
            )
            return Fault("worker_lost", words, exit_code=status)
        if status is None:
            return causes.WENT_DEAF
        return causes.of_exit(status, self._has_killed(), self._host.last_words(), bool(first.devices))

    def _kill(self, fault: Fault) -> None:
        self._host.kill()
        self._settle(lambda first: fault)

    def _settle(self, why: Callable[[Attempt], Fault]) -> None:
        """The child is gone. What it still said counts, what it had not begun goes back, and the one that ran is to
        blame; where none had begun, the first one is the second time."""
        hand, first = self._hand, self._hand.running
        self._passing.clear()
        self._watch = None
        for word in self._host.last_said:
            if isinstance(word, Ended) and hand.running is not None and _is_of(word, hand.running):
                self._keep_words(word.log_bytes)
                hand.end(self._explained(word))
                if word.breaks_off:
                    hand.take_back(len(hand.given))
        unbegun = min(self._host.unbegun, len(hand.given))
        if first is not None and hand.running is first and unbegun == len(hand.given) and first.behind is None:
            first.false_starts += 1
            unbegun -= first.false_starts > 1
        hand.take_back(unbegun)
        while len(hand.given) > 1:
            hand.end(Fault("worker_lost", "its process went before it was heard how it ended"))
        if hand.running is not None:
            fault = why(hand.running)
            self._keep_words()
            hand.end(fault)

    def _keep_words(self, until: int | None = None) -> None:
        """What the one that has ended printed."""
        if (first := self._hand.running) is not None:
            self._host.keep_words(first.job_id, first.body, until)

    def _has_killed(self) -> bool:
        before, self._kills = self._kills, oom.kills()
        return oom.has_grown(before, self._kills)

    def _explained(self, ended: Ended) -> Ended:
        if ended.cause in ("task_error", "worker_lost") and self._has_killed():
            # Not the child itself, or it could not say so: most likely a program that it runs.
            words = f"the kernel killed for want of memory while it ran; the task said: {ended.message}"
            return msgspec.structs.replace(ended, cause="host_oom", message=causes.cut(words))
        return ended

    # ── listening ─────────────────────────────────────────────────────────────────────────────────────────

    def _listen(self, limit_s: float | None) -> None:
        """Until one has ended, the time is up, or somebody woke us. What was said comes first: a body is late only
        once nothing is left to be heard of it."""
        watch, channel = self._watch, self._host.channel
        until = None if limit_s is None else time.monotonic() + limit_s
        while watch is not None:
            self._look_for_stop(watch)
            if self._watch is not watch or self._hear(watch):
                return  # It had not begun, and now will not; or it is over.
            if self._sleep(until, *watch.limits()):
                channel.fill()
                continue
            channel.check_half()
            if (fault := watch.overdue()) is not None:
                self._kill(fault)
            return

    def _listen_for_passed(self, limit_s: float | None) -> None:
        until = None if limit_s is None else time.monotonic() + limit_s
        channel = self._host.channel
        while self._passing and not self._hear(None):
            if self._passing and self._sleep(until, self._pass_until):
                channel.fill()
                continue
            channel.check_half()
            if self._passing and time.monotonic() >= self._pass_until:
                raise Garbled(f"for {PASS_LIMIT_S:g} s it did not say what it has not begun")
            return

    def _hear(self, watch: BodyWatch | None) -> bool:
        """What has come in. True: the one that runs is over."""
        while (word := self._host.channel.next()) is not None:
            match word:
                case Ended() if watch is not None and _is_of(word, watch.attempt):
                    # Asked to leave, it left: what it says of its own end is not the reason.
                    self._next(word, watch.leaving or self._explained(word))
                    return True
                case Progress(fraction=fraction, note=note):
                    if watch is not None and _is_of(word, watch.attempt):
                        watch.note(fraction, note)
                case Passed() if (word.job_id, word.attempt) in self._passing:
                    self._passing.remove((word.job_id, word.attempt))
                case Ended():
                    logger.warning("Not heard: an end of {} attempt {}, which does not run", word.job_id, word.attempt)
                case _:
                    raise Garbled("not a word that a child says now")
        return False

    def _sleep(self, *limits: float | None) -> bool:
        """Until the child has said something (True), a limit is reached or somebody wakes us (False).

        What the child has not taken yet goes on its way meanwhile."""
        channel = self._host.channel
        until = [at for at in (*limits, channel.half_until()) if at is not None]
        return self._stopping.listen(channel, max(0.0, min(until) - time.monotonic()))

    def _look_for_stop(self, watch: BodyWatch) -> None:
        """A body that is to leave is asked to, once nothing behind it can be meant."""
        fault = why_leave(watch.attempt, self._stopping)
        if fault is None or watch.leaving is not None:
            return
        self.take_back()
        # Two have begun: the first one's end is on its way, and will be heard first.
        if self._watch is watch and len(self._hand.given) == 1:
            watch.leave(fault)
            self._host.stop_body()


def _is_of(word: Ended | Progress, attempt: Attempt) -> bool:
    return (word.job_id, word.attempt) == (attempt.job_id, attempt.number)
