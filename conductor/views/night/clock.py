"""Clock times of a report, by the zone it was made in: the file says how that stood, so that it reads the
same everywhere, and on the night when the clocks are changed. Pure, but for the one function that asks the
host.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from conductor.views.night.document import ClockSpan

#: So far around the night it is told how the clocks stood: receipts may begin before it, forecasts end after
#: it.
AROUND_S = 7 * 86_400
_STEP_S = 3600


def host_clock(since: float, until: float) -> tuple[ClockSpan, ...]:
    """How the clocks of this host's zone stood, with each change."""
    spans: list[ClockSpan] = []
    first = int(since - AROUND_S) // _STEP_S * _STEP_S
    for at in range(first, int(until + AROUND_S), _STEP_S):
        there = time.localtime(at)
        if not spans or spans[-1].offset_s != there.tm_gmtoff:
            # Clocks are changed on the hour, or the half of it.
            half = at - _STEP_S // 2
            begins = half if spans and time.localtime(half).tm_gmtoff == there.tm_gmtoff else at
            spans.append(ClockSpan(begins=float(begins), offset_s=there.tm_gmtoff, name=there.tm_zone))
    return tuple(spans)


class NightClock:
    def __init__(self, spans: Sequence[ClockSpan], since: float, until: float) -> None:
        self._spans = spans
        self._since = since
        #: Where the clocks are changed in between, a time alone says too little.
        self._is_changed = len({self._span(at).offset_s for at in (since, until)}) > 1

    def _span(self, at: float) -> ClockSpan:
        known = [span for span in self._spans if span.begins <= at]
        return known[-1] if known else self._spans[0]

    def _at(self, at: float) -> tuple[datetime, str]:
        span = self._span(at)
        return datetime.fromtimestamp(at + span.offset_s, UTC), span.name

    def time(self, at: float) -> str:
        """«04:10», with the zone in a night when the clocks are changed, with the day where it is not the
        night's."""
        there, zone = self._at(at)
        words = there.strftime("%H:%M") + (f" {zone}" if self._is_changed else "")
        is_of_night = 0 <= at - self._since < 86_400
        return words if is_of_night else f"{there.strftime('%a %d %b')} {words}"

    def exact(self, at: float) -> str:
        """«2026-11-29T18:00:00+01:00», as commands take it."""
        offset = timezone(timedelta(seconds=self._span(at).offset_s))
        return datetime.fromtimestamp(int(at), offset).isoformat()

    def day(self, at: float) -> str:
        """«Mon 30 Nov 2026, 18:00 CET»"""
        there, zone = self._at(at)
        return f"{there.strftime('%a %d %b %Y, %H:%M')} {zone}"
