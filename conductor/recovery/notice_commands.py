"""The operator's word on schedules and alerts, from whatever door it comes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from conductor.base.cron import stamp
from conductor.base.errors import UsageError
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.alerts import ALERT_RULES
from conductor.model.spec import Value
from conductor.ports import Ledger
from conductor.record.journal import Journal

#: Nobody is to be told of something for longer than that without being asked again.
MOST_SILENCE_S = 30 * 86_400.0


class SchedulePaused(Value, frozen=True, kw_only=True, omit_defaults=False):
    schedule: str
    is_paused: bool
    was_paused: bool


class AlertSilence(Value, frozen=True, kw_only=True, omit_defaults=False):
    """`until`: epoch seconds by the ledger's clock; None: people are told again."""

    rule: str
    until: float | None


def known_schedule(schedules: Mapping[str, ScheduleSettings], name: str) -> ScheduleSettings:
    """Raises `UsageError` that names the nearest one."""
    found = schedules.get(name)
    if found is None:
        there = ", ".join(schedules) or "none"
        near = did_you_mean(name, schedules)
        raise UsageError(f"there is no schedule {name!r} (there are: {there}){near}")
    return found


def pause_schedule(ledger: Ledger, receipts_dir: Path, name: str, is_paused: bool) -> SchedulePaused:
    """Its fires are left out, and not made up for; or it fires again, from its next time on."""
    now, state = int(ledger.bell.now()), ledger.schedules.states().get(name)
    was_paused = state is not None and state.is_paused
    # What came due in a pause that no conductor saw is not made up for either.
    handled_to = now if state is None or (was_paused and not is_paused) else state.handled_to
    # The journal first: a leader that begins meanwhile tells the ledger what stands there.
    word = "schedule_paused" if is_paused else "schedule_resumed"
    Journal(receipts_dir).schedule(word, name, handled_to)
    ledger.schedules.know(name, handled_to, is_paused=is_paused)
    return SchedulePaused(schedule=name, is_paused=is_paused, was_paused=was_paused)


def silence_rule(ledger: Ledger, receipts_dir: Path, rule: str, for_s: float, who: str) -> AlertSilence:
    """Nobody is told of it for so long; 0 takes a silence back. `who`: for the journal, which has a line of
    it. Raises `UsageError`, `ConfigError` where that cannot be written."""
    if rule not in ALERT_RULES:
        there = ", ".join(ALERT_RULES)
        raise UsageError(f"no rule is called {rule} (there are: {there}){did_you_mean(rule, ALERT_RULES)}")
    if not 0 <= for_s <= MOST_SILENCE_S:
        raise UsageError("a silence lasts from 0 s, which takes it back, to 30 days")
    until = ledger.alerts.silence(rule, for_s)
    words = f"until {stamp(int(until))}" if for_s else "people are told again"
    Journal(receipts_dir).acted(f"silence {rule}", who, words, 0)
    return AlertSilence(rule=rule, until=until if for_s else None)
