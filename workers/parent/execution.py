"""Carries out what concerns the child: bodies are given to it, taken back from it, and heard of.

What an end means, and what is late, the machine decides; here words are read, and processes die.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from conductor.adapters.host import oom_counter
from conductor.base.logs.events import emit_event
from conductor.model.subject import NAMELESS, SHORT_ID
from workers.isolation.child_process import ChildProcess
from workers.isolation.protocol import BodyEnded, BodyProgress, Garbled, Passed
from workers.machine.body_watch import LONG_S, too_long
from workers.machine.held_attempts import AttemptEnd
from workers.machine.row import GARBLED, is_of
from workers.system.run_delay import ran_s
from workers.task_api import failure_causes
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.attempt.attempt import Attempt
    from workers.isolation.stop_signals import Stopping
    from workers.machine.actions import Begin, FindFault, LookAtBody, TakeBack
    from workers.machine.machine import WorkerMachine

_REFRESH_S = 0.25
NAMED = 64


class Course:
    """Bodies on their way through the child, one behind the other."""

    def __init__(self, host: ChildProcess, stopping: Stopping, machine: WorkerMachine) -> None:
        self._host = host
        self._stopping = stopping
        self._machine = machine
        self._row, self._hand = machine.row, machine.hand
        #: For whoever looks from outside: how many have had their turn, the longest that one of those given
        #: may take.
        self.turns = 0
        self.longest_s = 0.0
        #: The child that was ended because of a deadline that nobody here had looked at.
        self.struck = 0
        #: The child that was ended because somebody had stopped it, and for how long (s) it stood.
        self.stood_still: tuple[int, float] = (0, 0.0)
        #: Jobs that were given to the child, each with what it is about: a late word names one of the last.
        self._given_last: deque[tuple[str, str]] = deque(maxlen=NAMED)
        #: What the child had run when a body was first looked at, and which turn that was.
        self._ran: tuple[int, float] = (0, 0.0)
        #: The child that went last, and how.
        self._gone: tuple[int, int | None] = (0, None)
        self._kills, self._refresh_at = oom_counter.kills(), time.monotonic() + _REFRESH_S

    # ── what the machine asks for ─────────────────────────────────────────────────────────────────────────

    def give(self, attempt: Attempt) -> None:
        """The first of those that wait, or one to be preloaded. The host was made sure of before.

        Raises `ChildBroken`: it stays where it was; where others are given, who listens hears of it."""
        if not self._hand.given:
            self._host.begin()
            self.longest_s = 0.0
        self._host.give(attempt.run)
        self._given_last.append((attempt.job_id, attempt.held.about))
        self.longest_s = max(self.longest_s, attempt.request.timeout_s)
        self._row.given(attempt, time.monotonic())

    def begin(self, action: Begin) -> None:
        if (over := action.ended) is not None:
            self._host.keep_words(over.job_id, over.body, action.log_bytes)
            if self._hand.given:
                self._host.begin(action.log_bytes)
        if action.begins is not None:
            self.turns += 1
            action.begins.begin(self._host.pid)

    def look(self, action: LookAtBody) -> None:
        """It had a core where it waits for something itself, or has used one. What has said its end is only
        not heard yet.
        """
        ran = ran_s(self._host.pid)
        turn, before = self._ran
        if ran is not None and turn != self.turns:
            self._ran = self.turns, (before := ran)
        has_had_a_core = ran is None or ran - before >= LONG_S / 2
        self._row.looked(has_had_a_core and not self._host.unheard_ends(), time.monotonic())

    def take_back(self, action: TakeBack) -> None:
        """What it did not take a ticket for, the child does not run."""
        self._row.took_back(action.most, self._host.take_back(action.most), time.monotonic())

    def kill(self, fault: AttemptFault) -> None:
        self._gone = self._host.pid, self._host.kill()
        self._say_gone(fault)

    def blame(self, action: FindFault) -> None:
        attempt = action.attempt
        fault = action.fault or self._reason(attempt, *self._gone)
        self._host.keep_words(attempt.job_id, attempt.body)
        self._row.blamed(fault)

    def refresh(self) -> None:
        """What the kernel killed until now was none of what is given from now on. Now and then is often
        enough.
        """
        if time.monotonic() >= self._refresh_at:
            self._kills, self._refresh_at = oom_counter.kills(), time.monotonic() + _REFRESH_S

    def wait(self, until: float, limit_s: float | None, nap_s: float) -> AttemptEnd | None:
        """Until the child has said something, the time is up, or somebody woke us. → the first that has
        ended.
        """
        channel = self._host.channel
        is_quiet = has_more = False
        try:
            if nap_s <= 0 or channel.has_buffered() or not self._stopping.sleep(nap_s):
                is_quiet = self._listen(until if limit_s is None else min(until, time.monotonic() + limit_s))
            has_more = channel.has_buffered()
        except EOFError:
            self._gone = self._host.pid, self._host.bury()
            self._say_gone(None)
        except Garbled as e:
            self.kill(AttemptFault("task_error", f"{GARBLED}: {e}"))
        self._machine.listened(is_quiet, has_more, time.monotonic())
        return self._hand.ended[0] if self._hand.ended else None

    # ── listening ─────────────────────────────────────────────────────────────────────────────────────────

    def _listen(self, until: float) -> bool:
        """Is nothing left to be heard? What the child has not taken yet goes on its way meanwhile.

        Returns whenever something came: with it somebody may have woken us."""
        channel = self._host.channel
        is_only_passing = not self._hand.given
        if self._hear() or (is_only_passing and not self._row.has_to_pass):
            return False
        half = channel.half_until()
        limit_s = (until if half is None else min(until, half)) - time.monotonic()
        if not self._stopping.listen(channel, max(0.0, limit_s)):
            channel.check_half()
            return True
        channel.fill()
        self._hear()
        return False

    def _hear(self) -> bool:
        """What has come in. True: the one that runs is over."""
        row, running = self._row, self._hand.running
        while (word := self._host.channel.next()) is not None:
            match word:
                case BodyEnded() if running is not None and is_of(word, running):
                    self._end(word)
                    return True
                case BodyProgress(fraction=fraction, note=note):
                    if running is not None and is_of(word, running):
                        row.progressed(fraction, note, time.monotonic())
                case Passed() if row.is_passing((word.job_id, word.attempt)):
                    row.passed((word.job_id, word.attempt))
                case BodyEnded():
                    words = "Not heard: an end of {about} ({}) attempt {attempt}, which does not run"
                    emit_event("attempt.not_running", words, word.job_id[:SHORT_ID], job_id=word.job_id,
                               attempt=word.attempt,
                               about=dict(self._given_last).get(word.job_id, NAMELESS))  # fmt: skip
                case _:
                    raise Garbled("not a word that a child says now")
        return False

    def _end(self, word: BodyEnded) -> None:
        if word.breaks_off:
            self._host.passes_over(len(self._hand.given) - 1)
        self._row.ended(word if self._row.is_leaving else self._explained(word), time.monotonic())

    # ── the child is gone ─────────────────────────────────────────────────────────────────────────────────

    def _say_gone(self, fault: AttemptFault | None) -> None:
        said: Sequence[object] = [
            self._explained(word) if isinstance(word, BodyEnded) else word for word in self._host.last_said
        ]
        self._row.gone(self._host.unbegun, said, fault, time.monotonic())

    def _reason(self, attempt: Attempt, pid: int, status: int | None) -> AttemptFault:
        if pid == self.struck:
            return too_long(attempt)
        if pid == self.stood_still[0]:
            words = (
                f"the task's process stood still for {self.stood_still[1]:.0f} s, stopped by a signal, "
                "and was killed"
            )
            return AttemptFault("worker_lost", words, exit_code=status)
        if status is None:
            return failure_causes.WENT_DEAF
        return failure_causes.of_exit(
            status, self._has_killed(), self._host.last_words(), bool(attempt.devices)
        )

    def _has_killed(self) -> bool:
        before, self._kills = self._kills, oom_counter.kills()
        return oom_counter.has_grown(before, self._kills)

    def _explained(self, ended: BodyEnded) -> BodyEnded:
        if ended.cause in ("task_error", "worker_lost") and self._has_killed():
            # Not the child itself, or it could not say so: most likely a program that it runs.
            words = f"the kernel killed for want of memory while it ran; the task said: {ended.message}"
            return msgspec.structs.replace(ended, cause="host_oom", message=failure_causes.cut(words))
        return ended
