"""Local time: when a lane or a backlog may start jobs («18:00-08:00»), and moments as people say them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

DAY_S = 86_400
SPAN = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)")

#: (from, to) as seconds of the day; where `to` is not the later one, it is of the next day.
Spans = tuple[tuple[int, int], ...]


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


def seconds_of_day(now: float) -> int:
    local = time.localtime(now)
    return local.tm_hour * 3600 + local.tm_min * 60 + min(local.tm_sec, 59)


def shut(hours: Mapping[str, Spans], now: float, at: int) -> dict[str, float]:
    """Lane or backlog that is outside its hours → when they begin again. `at`: the second of the day that `now` is."""
    found: dict[str, float] = {}
    for name, spans in hours.items():
        if not any(is_in(span, at) for span in spans):
            found[name] = now + until_next(spans, at)
    return found


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
