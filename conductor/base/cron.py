"""The calendar of schedules: the instants of a cron expression in a time zone, and both in words.

Five fields. Where the clocks are changed it is as in Debian's cron: a fixed time that the clocks jump over
comes at once after the jump, one that they show twice comes once; what is said by `*` goes on by the time
that really passes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from conductor.base.settings.unknown_keys import did_you_mean

LOCALTIME = Path("/etc/localtime")
FIELDS = 5
#: A calendar is asked from before any change of the clocks that the instants in question could lie in:
#: begun in an hour that comes twice it would take that hour for the first one.
_RUN_UP = timedelta(hours=26)
#: What goes on by the time that passes is asked often, and looks back over the change itself.
_SHORT_RUN_UP = timedelta(hours=3)

#: What people write for an expression.
SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


def checked_cron(text: str) -> str:
    """With five fields. Raises `ValueError` with a sentence."""
    given = text.strip()
    if given.startswith("@"):
        if given not in SHORTHANDS:
            raise ValueError(f"{text!r} is no time{did_you_mean(given, SHORTHANDS) or ', as @daily is'}")
        return SHORTHANDS[given]
    if len(given.split()) != FIELDS:
        raise ValueError(
            f"{text!r} is to have five fields: minute, hour, day of the month, month, day of the week "
            '("30 18 * * 1-5")'
        )
    try:
        next(CronSim(given, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as e:
        field = str(e).removeprefix("Bad ").replace("-", " ")
        raise ValueError(f"the {field} of {text!r} cannot be read or never comes") from None
    except StopIteration:
        raise ValueError(f"{text!r} never comes") from None
    return given


def checked_zone(name: str | None) -> str | None:
    """An IANA name. Raises `ValueError` with a sentence."""
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        if not known:
            raise ValueError("this host has no time zones: install its package tzdata") from None
        near = did_you_mean(name, known)
        raise ValueError(f"{name!r} is no time zone{near or ', as Europe/Berlin is'}") from None
    return name


def zone_of(name: str | None) -> ZoneInfo:
    """None: the host's own."""
    return ZoneInfo(name) if name is not None else _host_zone()


@lru_cache(maxsize=1)
def _host_zone() -> ZoneInfo:
    """By TZ, else by the link or file /etc/localtime; UTC where the host has none."""
    words = [os.environ.get("TZ", "").removeprefix(":")]
    words.append(str(LOCALTIME.resolve()).partition("zoneinfo/")[2])
    for name in filter(None, words):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="local time")
    except (OSError, ValueError):
        return ZoneInfo("UTC")


def instants(cron: str, zone: ZoneInfo, after: float) -> Iterator[int]:
    """All later than `after` (epoch seconds), in order and each once, without end."""
    minute, hour = cron.split()[:2]
    is_fixed = not (minute.startswith("*") or hour.startswith("*"))
    begins = datetime.fromtimestamp(after, UTC) - (_RUN_UP if is_fixed else _SHORT_RUN_UP)
    last = int(after) if after >= 0 else 0
    for found in CronSim(cron, begins.astimezone(zone)):
        at = int(found.timestamp())
        if at > last:
            last = at
            yield at


def in_words(cron: str) -> str:
    """«At 18:30 on Monday through Friday»."""
    return CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC)).explain()


def moment(at: float, zone: ZoneInfo) -> str:
    """«Mon 2026-03-30 02:30 CEST»."""
    return f"{datetime.fromtimestamp(at, zone):%a %Y-%m-%d %H:%M %Z}"


def stamp(at: float) -> str:
    """«20260330T003000Z»: for names of files, and the tag of what a fire plans."""
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}"
