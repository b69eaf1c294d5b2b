"""Local time: when a lane or a backlog may start jobs («18:00-08:00»), and moments as people say them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence

DAY_S = 86_400
SPAN = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)")

#: (from, to) as seconds of the day; where `to` is not the later one, it is of the next day.
Spans = tuple[tuple[int, int], ...]
#: What a clock says at a moment: second of the day, and by how many seconds it is ahead of UTC.
Wall = tuple[int, int]


def parse(text: str) -> Spans:
    """«18:00-08:00, 12:00-13:00». Raises `ValueError` with a sentence."""
    spans: list[tuple[int, int]] = []
    for part in text.split(","):
        found = SPAN.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"{part.strip()!r} is no span of hours: write it as 18:00-08:00")
        begin, end = (int(found[i]) * 3600 + int(found[i + 1]) * 60 for i in (1, 3))
        if max(begin, end) > DAY_S or begin == end:
            raise ValueError(f"{part.strip()!r} is no span of hours: from 00:00 to 24:00, and not empty")
        spans.append((begin % DAY_S, end))
    return tuple(spans)


def on_the_wall(at: float) -> Wall:
    """By the clock of this host's zone."""
    local = time.localtime(at)
    return local.tm_hour * 3600 + local.tm_min * 60 + min(local.tm_sec, 59), local.tm_gmtoff


def outside_hours(
    hours: Mapping[str, Spans], now: float, wall: Callable[[float], Wall] = on_the_wall
) -> dict[str, float]:
    """Lane or backlog that is outside its hours → when they begin again, by the clock on the wall."""
    found: dict[str, float] = {}
    if hours:
        at, _ = wall(now)
        for name, spans in hours.items():
            if not is_open(spans, at):
                found[name] = opens_at(spans, now, wall)
    return found


def opens_at(spans: Spans, now: float, wall: Callable[[float], Wall]) -> float:
    """When hours begin that are over now. A clock that is put forward may jump right into them, and one that
    is put back has them begin later, or a second time."""
    second = math.floor(now)
    at, offset = wall(second)
    begins = second + until_next(spans, at)
    if wall(begins)[1] == offset:
        return begins
    turns = _turn(second, begins, offset, wall)
    # Up to there the clock goes on as it does now.
    if begins < turns:
        return begins
    at, _ = wall(turns)
    return turns if is_open(spans, at) else turns + until_next(spans, at)


def _turn(before: int, after: int, offset: int, wall: Callable[[float], Wall]) -> int:
    """The second at which the clock is put to another time than `offset` says: after `before`, at `after`
    at last.
    """
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if wall(middle)[1] == offset else (before, middle)
    return after


def is_open(spans: Sequence[tuple[int, int]], at: int) -> bool:
    return any(is_in(span, at) for span in spans)


def is_in(span: tuple[int, int], at: int) -> bool:
    begin, end = span
    return begin <= at < end if begin < end else at >= begin or at < end


def until_next(spans: Sequence[tuple[int, int]], at: int) -> int:
    return min((begin - at) % DAY_S for begin, _ in spans)


def about(now: float) -> Callable[[float], str]:
    """Moments near `now` as «about 14:05», «about Tue 02:40», «about 2026-03-01 02:40»."""
    today = time.localtime(now)[:3]

    def when(at: float) -> str:
        there = time.localtime(at)
        if there[:3] == today or abs(at - now) < DAY_S / 2:
            return time.strftime("about %H:%M", there)
        return time.strftime("about %a %H:%M" if abs(at - now) < 6 * DAY_S else "about %Y-%m-%d %H:%M", there)

    return when
