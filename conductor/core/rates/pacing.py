"""How many calls may go now: by the window the server counts in, and by a pace, so that no burst is
refused. Pure.
"""

from __future__ import annotations

from conductor.core.rates.learned_limits import LearnedRate
from conductor.model.spec import Value

#: The pace is kept over so many calls, and at least over `LEAST_PART_S`: how late a tick may be.
PACED_CALLS = 3
LEAST_PART_S = 0.5
#: So much faster than the limit's own pace, or time lost could never be made up.
FASTER = 1.25
#: While a raised limit holds, the next raise must not wait for the pace.
RAMPING = 3.0
#: An even pace: a little faster for what ticks lose.
EVEN_FASTER = 1.02


class Windows(Value, frozen=True, kw_only=True):
    """What one key's log holds at one instant; times are epoch seconds by the ledger's clock."""

    window_s: float
    #: How far back `called` goes.
    width_s: float
    #: Called and not refused, those under way among them.
    called: int = 0
    #: Of those: so lately that a 429 may still come.
    unsure: int = 0
    #: Handed over, not yet called.
    waiting: int = 0
    oldest: float | None = None
    #: Called in the last part of a window, or waiting.
    lately: int = 0
    lately_oldest: float | None = None


def room(
    limit: int | None, learned: LearnedRate, windows: Windows, elsewhere: int, now: float
) -> tuple[int | None, float | None]:
    """(calls that may be handed out now, when the next one may go where none may). `elsewhere`: used by
    others.
    """
    if limit is None:
        return None, None
    left = limit - windows.called - windows.waiting - elsewhere
    opens_at = _end(learned, windows, now)
    if learned.limit is None or (learned.is_announced and not learned.last_refused):
        return left, opens_at
    by_pace = _by_pace(limit, learned, windows)
    if by_pace >= left:
        return left, opens_at
    paced_at = (
        None
        if windows.lately_oldest is None
        else windows.lately_oldest + part_of(limit, learned, windows.window_s)
    )
    return by_pace, paced_at if left > 0 or paced_at is None or opens_at is None else max(paced_at, opens_at)


def part_of(limit: int | None, learned: LearnedRate, window_s: float) -> float:
    """Seconds over which the pace is kept."""
    a_call_s = window_s / (limit or 1) / _faster(learned)
    return min(window_s, max(LEAST_PART_S * window_s / 60, PACED_CALLS * a_call_s))


def _faster(learned: LearnedRate) -> float:
    if learned.is_even:
        return EVEN_FASTER
    return RAMPING if learned.sure is not None and learned.step > 1 else FASTER


def _by_pace(limit: int, learned: LearnedRate, windows: Windows) -> int:
    if learned.is_doubted:
        # One by one, as long as nobody knows what the server still takes.
        return max(0, 1 - windows.unsure - windows.waiting)
    part_s = part_of(limit, learned, windows.window_s)
    return max(0, max(1, round(limit * part_s / windows.window_s * _faster(learned))) - windows.lately)


def _end(learned: LearnedRate, windows: Windows, now: float) -> float | None:
    if learned.is_fixed and learned.edge is not None:
        return now + windows.window_s - (now - learned.edge) % windows.window_s
    return None if windows.oldest is None else windows.oldest + windows.width_s
