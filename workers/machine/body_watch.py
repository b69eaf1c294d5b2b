"""Over the one body that runs: its deadline, its progress, how long it may take to leave. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.attempt.attempt import Attempt

#: A body sees the deadline itself first (`ctx.remaining_s`) and may say what it was doing.
DEADLINE_GRACE_S = 1.0
#: After a stop was asked for, a body has so long to leave; then its process is killed.
STOP_GRACE_S = 2.0
#: A body that takes longer was none of the short ones: what waits behind it goes back, for others to take.
LONG_S = 0.1
#: One that had no core meanwhile is looked at again after so long.
LOOK_AGAIN_S = 0.05
#: After so long it is long in any case: other hosts may have cores.
LONG_ANYWAY_S = 1.0
#: Who comes so late to look at a deadline has stood still itself.
LATE_S = 0.5


class BodyWatch:
    """Times are monotonic; its limits are by a clock that stands while the body does (`Held.pardon_s`)."""

    def __init__(self, attempt: Attempt, now: float) -> None:
        self.attempt = attempt
        self._request = attempt.request
        self.began_at = now
        self._deadline = now + self._request.timeout_s + DEADLINE_GRACE_S
        self._stalls_at = now + self._request.stall_s if self._request.stall_s > 0 else None
        self._was_late = False
        #: When it is to be looked whether it is long.
        self.long_at = now + LONG_S
        self.is_long = False
        #: Why the body was asked to leave, and until when it may.
        self.leaving: AttemptFault | None = None
        self._kill_at: float | None = None

    @property
    def until(self) -> float:
        """When to look at it at the latest."""
        pardon_s = self.attempt.held.pardon_s
        limits = [self._deadline + pardon_s]
        if self._stalls_at is not None:
            limits.append(self._stalls_at + pardon_s)
        if self._kill_at is not None:
            limits.append(self._kill_at)
        return min(limits)

    def looked(self, has_had_a_core: bool, now: float) -> None:
        """By the clock it is long; where others have the cores, any body is."""
        self.is_long = has_had_a_core or now >= self.began_at + LONG_ANYWAY_S
        if not self.is_long:
            self.long_at = min(now + LOOK_AGAIN_S, self.began_at + LONG_ANYWAY_S)

    def leave(self, fault: AttemptFault, now: float) -> None:
        self.leaving = fault
        # Who eats up the host's memory gets no time to say goodbye: the kernel might choose somebody else.
        self._kill_at = now + (0.0 if fault.cause == "host_oom" else STOP_GRACE_S)

    def overdue(self, now: float) -> AttemptFault | None:
        """Asked when nothing is left to be heard of it."""
        if self._kill_at is not None and now >= self._kill_at:
            return self.leaving
        now -= self.attempt.held.pardon_s
        if self._has_stood_still(now):
            return None
        if now >= self._deadline:
            return too_long(self.attempt)
        if self._stalls_at is not None and now >= self._stalls_at:
            return AttemptFault(
                "stalled", f"reported no progress for {self._request.stall_s:g} s and was killed"
            )
        return None

    def note(self, fraction: float, note: str, now: float) -> None:
        held = self.attempt.held
        held.is_news = held.is_news or fraction != held.progress or note != held.note
        held.progress, held.note = fraction, note
        held.moved_at = now
        if self._stalls_at is not None:
            self._stalls_at = now - held.pardon_s + self._request.stall_s

    def _has_stood_still(self, now: float) -> bool:
        """Perhaps the body has too: once it gets the moment that it takes to say so."""
        due = min(self._deadline, self._stalls_at or self._deadline)
        if self._was_late or now - due <= LATE_S:
            return False
        self._was_late = True
        self._deadline = max(self._deadline, now + DEADLINE_GRACE_S)
        self._stalls_at = self._stalls_at and max(self._stalls_at, now + DEADLINE_GRACE_S)
        return True


def too_long(attempt: Attempt) -> AttemptFault:
    return AttemptFault("timeout", f"ran longer than its {attempt.request.timeout_s:g} s and was killed")
