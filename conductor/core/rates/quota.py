"""What of a configured limit may still be handed out, so that no window of the server's ever holds more.
Pure.

A place is taken from the hand-over until its call is told of, however slowly its body starts; then it counts
for a window from the latest moment at which the server can have counted it: when the answer came, or
`TRANSIT_S` after it was sent. So whenever a call is made, all that lie in the window before it were counted
when its place was given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec.structs import replace

from conductor.model.calls import Call
from conductor.model.spec import Value

#: A server has counted a call so long after it was sent, also where its answer takes a minute.
TRANSIT_S = 2.0
#: A window is looked at in so many steps; a call counts to the end of its own, half a step too long on
#: average.
STEPS = 600
#: 429s though our own count is below the limit: somebody else draws on it. His is what was refused, and a
#: tenth more.
LEAVE = 0.9
LEAST_PART = 0.1
#: What is ours grows again by so much of the limit in each window.
GROWTH = 0.02


class Quota(Value, frozen=True, kw_only=True):
    """Of one configured limit: our calls of the last window, and the part of it that is ours."""

    #: (step, calls), the oldest first.
    sent: tuple[tuple[int, int], ...] = ()
    #: As of `part_at`; 1: nobody else draws on it.
    part: float = 1.0
    part_at: float = 0.0

    def counted(self, now: float, window_s: float) -> int:
        return sum(calls for step, calls in self.sent if _ends(step, window_s) > now)

    def part_now(self, now: float, window_s: float) -> float:
        return min(1.0, self.part + GROWTH * max(0.0, now - self.part_at) / window_s)

    def limit(self, configured: int, now: float, window_s: float) -> int:
        return max(1, math.floor(configured * self.part_now(now, window_s)))

    def left(self, limit: int, out: int, now: float, window_s: float) -> tuple[int, float | None]:
        """(calls that may be handed out, when one more may; None: when one is told of).

        `out`: handed out, and not told of."""
        left = limit - out - self.counted(now, window_s)
        missing = max(1, 1 - left)
        for step, calls in self.sent:
            if (ends := _ends(step, window_s)) > now:
                missing -= calls
                if missing <= 0:
                    return left, ends
        return left, None


def told(quota: Quota, calls: Iterable[Call], now: float, window_s: float) -> Quota:
    """With what was sent; `calls` were told of by `now` at the latest."""
    by_step = {step: count for step, count in quota.sent if _ends(step, window_s) > now}
    for call in calls:
        if call.outcome != "uncalled":
            transit_s = TRANSIT_S * window_s / 60
            at = now - call.ago_s - max(0.0, call.took_s - transit_s)
            step = math.floor(at / window_s * STEPS)
            by_step[step] = by_step.get(step, 0) + 1
    return replace(quota, sent=tuple(sorted(by_step.items())))


def refused(quota: Quota, configured: int, now: float, window_s: float) -> Quota:
    """A 429 came, and it was not our count: leave room for whoever else is there. Once for a burst of
    them.
    """
    if quota.part_at and now - quota.part_at < TRANSIT_S * window_s / 60:
        return quota
    held = quota.counted(now, window_s) / configured
    part = max(LEAST_PART, min(quota.part_now(now, window_s), held) * LEAVE)
    return replace(quota, part=part, part_at=now)


def _ends(step: int, window_s: float) -> float:
    """Until when a call of that step lies in the window."""
    return (step + 1) * window_s / STEPS + window_s
