"""The schedules as a person, the page or a script sees them: what runs when, how it stands, what came of
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from conductor.base.cron import in_words, instants, moment, zone_of
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.base.text import many, table
from conductor.core.schedules.due import put_off_s
from conductor.model.schedule import FireEnd, ScheduleState
from conductor.model.spec import Value
from conductor.ports import Ledger
from conductor.record.journal import Journal
from conductor.record.schedule_notes import schedules_of

FiringState = Literal["ready", "paused", "firing", "waits", "not seen"]
MEANING: Mapping[FiringState, str] = {
    "ready": "ready",
    "paused": "paused",
    "firing": "fires now",
    "waits": "waits for the fire before",
    "not seen": "not seen yet: a conductor that was started before it was written down knows nothing of it",
}


class ScheduleRow(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One schedule. Times are epoch seconds."""

    name: str
    run: str
    cron: str
    zone: str
    #: The cron expression in words.
    when: str
    state: FiringState
    #: When it is to fire next, jitter and all.
    next_at: float
    next: str
    fired: int
    failed: int
    #: Fires that were left out: missed, overlapping, paused.
    skipped: int
    last: FireEnd | None
    #: It cannot fire, and why.
    fault: str = ""


class NextFire(Value, frozen=True, kw_only=True, omit_defaults=False):
    at: float
    local: str
    #: So much of `at` is the schedule's jitter.
    put_off_s: float


def schedule_rows(
    ledger: Ledger, schedules: Mapping[str, ScheduleSettings], journal: Journal, workflows: Sequence[str]
) -> tuple[ScheduleRow, ...]:
    """In the order of conductor.toml. `workflows`: those that there are. Raises `Unreachable`."""
    states, now = ledger.schedules.states(), ledger.bell.now()
    noted = schedules_of(journal.notes()) if any(name not in states for name in schedules) else {}
    rows: list[ScheduleRow] = []
    for name, schedule in schedules.items():
        known = states.get(name)
        state = known or ScheduleState(
            name=name, handled_to=0, is_paused=bool(name in noted and noted[name].is_paused)
        )
        coming = next(next_fires(name, schedule, now))
        rows.append(
            ScheduleRow(
                name=name,
                run=schedule.run,
                cron=schedule.cron,
                zone=zone_of(schedule.zone).key,
                when=in_words(schedule.cron),
                state=firing_state_of(state, now) if known or state.is_paused else "not seen",
                next_at=coming.at,
                next=coming.local,
                fired=state.fired,
                failed=state.failed,
                skipped=state.skipped,
                last=state.last,
                fault=fault_of(schedule, workflows),
            )
        )
    return tuple(rows)


def firing_state_of(state: ScheduleState, now: float) -> FiringState:
    if state.taken is not None and state.taken.until > now:
        return "firing"
    if state.is_paused:
        return "paused"
    return "waits" if state.waits_since else "ready"


def fault_of(schedule: ScheduleSettings, workflows: Sequence[str]) -> str:
    from conductor.base.settings.unknown_keys import did_you_mean

    name = schedule.words[0]
    if schedule.is_maintenance or name in workflows:
        return ""
    return f"there is no workflow {name!r}{did_you_mean(name, workflows)}"


def next_fires(name: str, schedule: ScheduleSettings, now: float) -> Iterator[NextFire]:
    """Without end."""
    zone, rule = zone_of(schedule.zone), schedule.rule(name)
    for instant in instants(schedule.cron, zone, now - schedule.jitter_s):
        off = put_off_s(rule, instant)
        if instant + off > now:
            yield NextFire(at=instant + off, local=moment(instant + off, zone), put_off_s=round(off, 1))


def schedule_lines(rows: Sequence[ScheduleRow]) -> Iterator[str]:
    if not rows:
        yield "no schedules: conductor.toml has no [schedules.NAME]"
        return
    head = ("NAME", "STATE", "NEXT", "FIRED", "FAILED", "SKIPPED", "RUN")
    body = [(row.name, row.state, row.next, row.fired, row.failed, row.skipped, row.run) for row in rows]
    yield from table([head, *body], indent="")
    for row in rows:
        if row.fault:
            yield f"{row.name} cannot fire: {row.fault}"
        elif row.state == "not seen":
            yield f"{row.name} is {MEANING['not seen']}"
        if row.last is not None and row.last.outcome == "failed":
            yield f"{row.name} failed the last time: {row.last.words} (conductor schedule log {row.name})"


def words_of(end: FireEnd) -> str:
    """What a fire came to, in one line."""
    if end.outcome == "failed":
        return f"failed: {end.words}"
    return many(end.jobs, "job") + " dispatched" if end.jobs else end.words
