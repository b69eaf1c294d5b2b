"""A moment as somebody types it: «18:00», «2h», «yesterday», «2026-11-28», «2026-11-28T18:00»."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?\Z")
_AGO = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*(s|min|m|h|d|w)\Z")
_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
HOW = "write 18:00 (the last one), 90min, 2h or 3d (ago), today, yesterday, 2026-11-28 or 2026-11-28T18:00"


def moment_reader(now: float | None = None) -> Callable[[str], float]:
    """The reader of such words as of `now` (epoch seconds), by the clock of this host's zone. It raises
    `ValueError` with a sentence."""
    return lambda word: moment_of(word, time.time() if now is None else now)


def moment_of(word: str, now: float) -> float:
    """Raises `ValueError`."""
    text = word.strip().lower()
    today = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        return (today - timedelta(days=text == "yesterday")).timestamp()
    if clock := _CLOCK.match(text):
        at = today.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0))
        return (at if at.timestamp() <= now else at - timedelta(days=1)).timestamp()
    if ago := _AGO.match(text):
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(word.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(HOW) from None


def seconds_from_now(word: str, now: float | None = None) -> float:
    """Until such a moment to come: «8h» from now, «06:00» the next one. Raises `ValueError`."""
    now = time.time() if now is None else now
    text = word.strip().lower()
    if span := _AGO.match(text):
        return float(span[1]) * _UNITS[span[2]]
    try:
        at = moment_of(word, now)
    except ValueError:
        raise ValueError("write 06:00 (the next one), 90min, 8h, 2026-11-29T06:00") from None
    if _CLOCK.match(text):
        at = (datetime.fromtimestamp(at) + timedelta(days=at <= now)).timestamp()
    if at <= now:
        raise ValueError("that is over: write 06:00 (the next one), 90min, 8h, 2026-11-29T06:00")
    return at - now
