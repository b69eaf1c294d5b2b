"""Bodies on their way through the child, one behind the other. What they cannot be trusted with is enforced here."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from loguru import logger

from conductor.adapters import oom
from workers import causes
from workers.attempt import Attempt
from workers.causes import Fault
from workers.host import ChildBroken, Host
from workers.protocol import Ended, Garbled, Passed, Progress

if TYPE_CHECKING:
    from workers.stopping import Stopping

#: A body sees the deadline itself first (`ctx.remaining_s`) and may say what it was doing.
DEADLINE_GRACE_S = 1.0
#: After a stop was asked for, a body has so long to leave; then its process is killed.
STOP_GRACE_S = 2.0
#: Who comes so late to look at a deadline has stood still itself.
LATE_S = 0.5
_REFRESH_S = 0.25


class End(NamedTuple):
    """`Ended` is the body's own word, `Fault` what was seen from outside."""

    attempt: Attempt
    said: Ended | Fault


class Course:
    """What the child was given, in order. The first is the one that runs; the others have not begun, and can be
    taken back from the child: what it did not take a ticket for, it does not run."""

    def __init__(self, host: Host, stopping: Stopping) -> None:
        self._host = host
        self._stopping = stopping
        self._given: deque[Attempt] = deque()
        self._watch: _Watch | None = None
        #: Taken back; the child will pass over so many before it runs what it is given next.
        self._passing = 0
        self._back: list[Attempt] = []
        self._kills, self._refresh_at = oom.kills(), time.monotonic() + _REFRESH_S

    def __len__(self) -> int:
        return len(self._given)

    @property
    def running(self) -> Attempt | None:
        return self._given[0] if self._given else None

    @property
    def heir(self) -> Attempt | None:
        """Lined up behind the one that runs, as far as is known here."""
        return self._given[1] if len(self._given) > 1 and self._given[1].behind is not None else None

    @property
    def follower(self) -> Attempt | None:
        """The one that runs, where it was lined up and the ledger does not know yet that it has begun."""
        return self._given[0] if self._given and self._given[0].behind is not None else None

    @property
    def can_take(self) -> bool:
        """Not while the child still has to pass over some."""
        return not self._passing or not self._given

    @property
    def has_more(self) -> bool:
        """The next end was heard already: `wait` will not wait."""
        return bool(self._given) and self._host.channel.has_buffered()

    @property
    def began_at(self) -> float:
        """When the one that runs had its turn (monotonic)."""
        return self._watch.began_at if self._watch else time.monotonic()

    def all(self) -> Iterable[Attempt]:
        return self._given

    def ensure(self, devices: Sequence[str]) -> None:
        """While none runs: a child for what comes next. Raises `ChildBroken`."""
        before = self._host.pid
        self._host.ensure(devices)
        if self._host.pid != before:
            self._passing = 0  # What the one before still had to pass over went with it.

    def give(self, attempt: Attempt) -> None:
        """Raises `ChildBroken`. The host was made sure of before."""
        if self._passing:
            self._let_pass()
        if not self._given:
            self._host.begin()
        self._host.give(attempt.run)
        self._given.append(attempt)
        if self._watch is None:
            self._begin()

    def refresh(self) -> None:
        """What the kernel killed until now was none of what is given from now on. Now and then is often enough."""
        if time.monotonic() >= self._refresh_at:
            self._kills, self._refresh_at = oom.kills(), time.monotonic() + _REFRESH_S

    def take_back(self) -> list[Attempt]:
        """Those that have not begun, in order; also those that a child had not begun when it went."""
        self._revoke()
        back, self._back = self._back, []
        return back

    def wait(self, limit_s: float | None, nap_s: float = 0.0) -> End | None:
        """The next end. None when the time was up, or somebody woke us. `nap_s`: so long only that is listened for."""
        watch, attempt = self._watch, self.running
        assert watch is not None and attempt is not None, "something was given"
        if nap_s > 0 and not self._host.channel.has_buffered():
            self._stopping.sleep(nap_s)
        try:
            said = self._listen(watch, limit_s)
        except (EOFError, ChildBroken):
            return self._gone(attempt)
        except Garbled as e:
            said = self._killed(Fault("task_error", f"the task's process said something unintelligible: {e}"))
        if said is None:
            return None
        if isinstance(said, Ended):
            self._next(said)
            said = self._explained(said)
        return End(attempt, said)

    # ── the child ─────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        attempt = self._given[0]
        self._watch = _Watch(attempt)
        attempt.begin(self._host.pid)

    def _next(self, ended: Ended) -> None:
        self._given.popleft()
        self._watch = None
        if ended.breaks_off:
            # Short bodies may fail faster than anyone hears of it: the child passes the others over, and says so.
            behind = len(self._given)
            self._host.passes_over(behind)
            self._passing += behind
            self._keep_back(behind)
        if self._given:
            self._host.begin(ended.log_bytes)
            self._begin()

    def _let_pass(self) -> None:
        """The child runs nothing now: it says at once what it did not begin."""
        while self._passing:
            try:
                said = self._host.channel.receive(STOP_GRACE_S)
            except (EOFError, Garbled) as e:
                raise ChildBroken(str(e)) from None
            if not isinstance(said, Passed):
                raise ChildBroken("it said something else than what it did not begin")
            self._passing -= 1

    def _revoke(self) -> None:
        back = self._host.take_back() if self._given else 0
        self._passing += back
        self._keep_back(back)

    def _keep_back(self, count: int) -> None:
        """The last so many of what was given have not begun."""
        kept = [self._given.pop() for _ in range(min(count, len(self._given)))]
        self._back += reversed(kept)
        if not self._given:
            self._watch = None

    def _gone(self, attempt: Attempt) -> End | None:
        """The child ended by itself: only the body that it ran is to blame."""
        status = self._host.bury()
        self._left(len(self._given))
        if not self._given:
            attempt.false_starts += 1
            if attempt.false_starts == 1:
                return None
            self._back.remove(attempt)
        self._given.clear()
        self._watch = None
        return End(attempt, self._why_gone(attempt, status))

    def _why_gone(self, attempt: Attempt, status: int) -> Fault:
        return causes.of_exit(status, self._has_killed(), self._host.last_words(), bool(attempt.devices))

    def _killed(self, fault: Fault) -> Fault:
        self._host.kill()
        # The first was waited for, begun or not: what was seen is its own.
        self._left(len(self._given) - 1)
        self._given.clear()
        self._watch = None
        return fault

    def _left(self, most: int) -> None:
        self._keep_back(min(self._host.unbegun, most))
        self._passing = 0

    def _has_killed(self) -> bool:
        before, self._kills = self._kills, oom.kills()
        return oom.has_grown(before, self._kills)

    def _explained(self, ended: Ended) -> Ended:
        if ended.cause == "task_error" and self._has_killed():
            # Not the child itself, or it could not say so: most likely a program that it runs.
            words = f"the kernel killed for want of memory while it ran; the task said: {ended.message}"
            return msgspec.structs.replace(ended, cause="host_oom", message=causes.cut(words))
        return ended

    # ── listening ─────────────────────────────────────────────────────────────────────────────────────────

    def _listen(self, watch: _Watch, limit_s: float | None) -> Ended | Fault | None:
        """What was said comes first: a body is late only once nothing is left to hear of it."""
        channel = self._host.channel
        until = None if limit_s is None else time.monotonic() + limit_s
        while True:
            self._look_for_stop(watch)
            if self._watch is not watch:
                return None  # It had not begun, and now will not.
            while (word := channel.next()) is not None:
                if isinstance(word, Ended) and _is_of(word, watch.attempt):
                    # Asked to leave, it left: what it says of its own end is not the reason.
                    if watch.leaving is None:
                        return word
                    self._next(word)
                    return watch.leaving
                self._note(word, watch)
            if self._sleep(watch, until):
                channel.fill()
                continue
            channel.check_half()
            fault = watch.overdue()
            return None if fault is None else self._killed(fault)

    def _note(self, word: object, watch: _Watch) -> None:
        match word:
            case Progress(fraction=fraction, note=note):
                if _is_of(word, watch.attempt):
                    watch.note(fraction, note)
            case Passed() if self._passing:
                self._passing -= 1
            case Ended():
                logger.warning("Not heard: an end of {} attempt {}, which does not run", word.job_id, word.attempt)
            case _:
                raise Garbled("not a word that a child says while it runs a body")

    def _sleep(self, watch: _Watch, until: float | None) -> bool:
        """Until the child has said something (True), a limit is reached or somebody wakes us (False).

        What the child has not taken yet goes on its way meanwhile."""
        channel, wake = self._host.channel, self._stopping.wake_fd
        limits = [at for at in (until, *watch.limits(), channel.half_until()) if at is not None]
        left_s = max(0.0, min(limits) - time.monotonic())
        readable, writable, _ = select.select([channel, wake], [channel] if channel.has_unsent else [], [], left_s)
        if writable:
            channel.flush()
        if wake in readable:
            self._stopping.drain()
        return channel in readable

    def _look_for_stop(self, watch: _Watch) -> None:
        """A body that is to leave is asked to, once nothing behind it can be meant."""
        fault = _why_leave(watch.attempt, self._stopping)
        if fault is None or watch.leaving is not None:
            return
        self._revoke()
        # Two have begun: the first one's end is on its way, and will be heard first.
        if self._watch is watch and len(self._given) == 1:
            watch.leave(fault)
            self._host.stop_body()


def _is_of(word: Ended | Progress, attempt: Attempt) -> bool:
    return (word.job_id, word.attempt) == (attempt.job_id, attempt.number)


def _why_leave(attempt: Attempt, stopping: Stopping) -> Fault | None:
    if attempt.held.verdict == "cancel":
        return causes.CANCELLED
    if attempt.held.verdict == "gone":
        return Fault("worker_lost", "the attempt was given to another worker")
    if attempt.held.meter.beyond:
        return Fault("cuda_oom", attempt.held.meter.beyond)
    return Fault("worker_lost", "the worker was told to stop at once") if stopping.is_urgent else None


class _Watch:
    """Over the one body that runs."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._request = attempt.request
        self.began_at = now = time.monotonic()
        self._deadline = now + self._request.timeout_s + DEADLINE_GRACE_S
        self._stalls_at = now + self._request.stall_s if self._request.stall_s > 0 else None
        self._was_late = False
        #: Why the body was asked to leave, and until when it may.
        self.leaving: Fault | None = None
        self._kill_at: float | None = None

    def limits(self) -> tuple[float | None, ...]:
        return self._deadline, self._stalls_at, self._kill_at

    def leave(self, fault: Fault) -> None:
        self.leaving = fault
        self._kill_at = time.monotonic() + STOP_GRACE_S

    def overdue(self) -> Fault | None:
        """Asked when nothing is left to be heard of it."""
        now = time.monotonic()
        if now - self._deadline > LATE_S and not self._was_late:
            # We stood still, and perhaps it did too: it gets the moment to say so.
            self._was_late, self._deadline = True, now + DEADLINE_GRACE_S
        if self._kill_at is not None and now >= self._kill_at:
            return self.leaving
        if now >= self._deadline:
            return Fault("timeout", f"ran longer than its {self._request.timeout_s:g} s and was killed")
        if self._stalls_at is not None and now >= self._stalls_at:
            return Fault("stalled", f"reported no progress for {self._request.stall_s:g} s and was killed")
        return None

    def note(self, fraction: float, note: str) -> None:
        held = self.attempt.held
        held.is_news = held.is_news or fraction != held.progress or note != held.note
        held.progress, held.note = fraction, note
        held.moved_at = time.monotonic()
        if self._stalls_at is not None:
            self._stalls_at = time.monotonic() + self._request.stall_s
