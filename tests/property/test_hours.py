"""Hours go by the clock on the wall: they open and close when it says so, also when it is put to another
time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from conductor.base import hours

MINUTE = 60
#: Zones with summer time in both halves of the year, by an hour and by half of one, with odd offsets, and one
#: that left a day out. The moments are just before the clock is put to another time.
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "America/St_Johns": ("2026-03-08T05:30", "2026-11-01T04:30"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
    "Africa/Casablanca": ("2026-02-15T02:00", "2026-03-22T02:00"),
    "Asia/Kathmandu": ("2026-06-01T00:00",),
    "Pacific/Apia": ("2011-12-30T10:00",),
}


def minutes(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // MINUTE


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, float]:
    """A zone, and a moment within a day and a half of a change of its clock."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    change = minutes(draw(st.sampled_from(CHANGES[zone])))
    return zone, (change + draw(st.integers(-36 * 60, 36 * 60))) * MINUTE + draw(
        st.sampled_from([0.0, 0.4, 59.9])
    )


def span_of(begin: int, length: int) -> str:
    def at(minute: int) -> str:
        return f"{minute // 60:02}:{minute % 60:02}"

    return f"{at(begin)}-{at((begin + length) % (24 * 60))}"


spans = st.builds(span_of, st.integers(0, 24 * 60 - 1), st.integers(1, 24 * 60 - 1))


@given(moments(), st.lists(spans, min_size=1, max_size=3))
@example(("Europe/Berlin", minutes("2026-03-29T00:30") * 60.0), ["02:30-04:00"])
@example(("Europe/Berlin", minutes("2026-03-29T00:30") * 60.0), ["03:00-03:10"])
@example(("Europe/Berlin", minutes("2026-03-28T21:30") * 60.0), ["02:15-02:45", "07:00-08:00"])
@example(("Europe/Berlin", minutes("2026-10-25T00:50") * 60.0), ["02:10-02:40"])
@example(("Pacific/Apia", minutes("2011-12-30T09:00") * 60.0), ["22:00-08:00"])
def test_hours_open_and_close_at_the_time_that_the_clock_shows(
    found: tuple[str, float], written: list[str]
) -> None:
    (zone, now), allowed = found, hours.parse(", ".join(written))
    place = ZoneInfo(zone)

    def wall(at: float) -> hours.Wall:
        local = datetime.fromtimestamp(at, place)
        offset = local.utcoffset() or timedelta()
        return local.hour * 3600 + local.minute * 60 + local.second, round(offset.total_seconds())

    def is_open(at: float) -> bool:
        local = datetime.fromtimestamp(at, place).strftime("%H:%M")
        return any(
            begin <= local < end if begin < end else local >= begin or local < end
            for begin, end in (text.split("-") for text in written)
        )

    closed = hours.outside_hours({"cpu": allowed}, now, wall)

    assert ("cpu" not in closed) == is_open(now)
    if closed:
        opens = closed["cpu"]
        assert opens > now and is_open(opens) and not is_open(opens - 1)
        first = now // MINUTE + 1
        assert not any(is_open(minute * MINUTE) for minute in range(round(first), round(opens // MINUTE)))
