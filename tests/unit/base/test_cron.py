"""Cron expressions and zones: what is refused, in which words, and the clocks that change."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from conductor.base import cron
from conductor.base.errors import ConfigError
from conductor.base.settings.settings import CONFIG_NAME, load

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str, start: datetime, count: int) -> list[str]:
    found = islice(cron.instants(text, BERLIN, start.timestamp()), count)
    return [datetime.fromtimestamp(at, BERLIN).isoformat(timespec="minutes") for at in found]


def test_a_time_that_the_clocks_jump_over_comes_after_the_jump() -> None:
    found = local("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=BERLIN), 2)
    assert found == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]


def test_a_time_that_the_clocks_show_twice_comes_once() -> None:
    expected = ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    assert local("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=BERLIN), 2) == expected
    # Also for a leader that begins in the second of these hours.
    second = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=BERLIN)
    assert local("30 2 * * *", second, 1) == expected[1:]


def test_every_quarter_of_an_hour_goes_on_by_the_time_that_passes() -> None:
    instants = list(islice(cron.instants("*/15 * * * *", BERLIN, datetime(2026, 10, 25).timestamp()), 40))
    assert {later - earlier for earlier, later in pairwise(instants)} == {900}


REFUSED = {
    'cron = "61 2 * * *"\nrun = "w"': "the minute of '61 2 * * *' cannot be read or never comes",
    'cron = "0 0 30 2 *"\nrun = "w"': "the day of month of '0 0 30 2 *' cannot be read or never comes",
    'cron = "0 2 * *"\nrun = "w"': "is to have five fields",
    'cron = "@dayly"\nrun = "w"': "did you mean @daily?",
    'cron = "0 2 * * *"\nzone = "Europe/Berlni"\nrun = "w"': "did you mean Europe/Berlin?",
    'cron = "0 2 * * *"\nrun = "purge-scrach"': "did you mean purge-scratch?",
    'cron = "0 2 * * *"\nrun = "plan highlights /a"': 'did you mean "highlights /a"?',
    'cron = "0 2 * * *"\nrun = "w -o x"': "each fire has a manifest and a tag of its own",
    'cron = "0 2 * * *"\nrun = ""': 'is to be "WORKFLOW arguments" or one of clean',
    'cron = "0 2 * * *"\nrun = "w \'"': "cannot be read as a command line",
    'cron = "0 2 * * *"\nrun = "w"\nmised = "once"': "did you mean missed?",
    'cron = "0 2 * * *"\nrun = "w"\nmissed = "all"': 'it goes with overlap = "queue"',
    'cron = "0 2 * * *"\nrun = "w"\nmissed = "twice"': 'is to be "once", "skip" or "all"',
}


@pytest.mark.parametrize("lines", REFUSED)
def test_what_is_wrong_with_a_schedule_is_said_in_a_sentence(tmp_path: Path, lines: str) -> None:
    (tmp_path / CONFIG_NAME).write_text(f"[schedules.nightly]\n{lines}\n")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path)
    assert REFUSED[lines] in str(refused.value) and "schedules.nightly" in str(refused.value)


def test_a_name_that_is_no_name_of_a_backlog_is_refused(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_text('[schedules."Every Night"]\ncron = "@daily"\nrun = "w"\n')
    with pytest.raises(ConfigError, match="small letters"):
        load(tmp_path)


def test_the_hosts_zone_is_found_by_tz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    cron._host_zone.cache_clear()
    assert cron.zone_of(None).key == "Asia/Tokyo"
    cron._host_zone.cache_clear()
