"""`conductor schedule`: what is done at its time, and the operator's word on it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, answer, emit, ledger_here, ledger_to_read, settings_here, show
from conductor.app.cli.frame import CommandGroup

if TYPE_CHECKING:
    from conductor.model.schedule import FireEnd, ScheduleState
    from conductor.ports import Ledger

Name = Annotated[str, typer.Argument(metavar="NAME", help="As in conductor.toml: [schedules.NAME].")]

SHOWN_TIMES = 5

schedule_app = typer.Typer(
    cls=CommandGroup,
    help="What is done at its time. Without a word behind it: all schedules, how they stand, when they fire "
    "next.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    schedule_app.callback()(list_all)
    schedule_app.command("next")(next_times)
    for command in (run, pause, resume, log):
        schedule_app.command()(command)
    app.add_typer(schedule_app, name="schedule")


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """All schedules: how they stand, when they fire next, what came of them."""
    if context.invoked_subcommand is not None:
        return
    from conductor.app.workflow_lookup import available
    from conductor.record.journal import Journal
    from conductor.views.schedules import schedule_lines, schedule_rows

    with ledger_to_read() as (settings, ledger):
        journal = Journal(settings.receipts_dir)
        rows = schedule_rows(ledger, settings.schedules, journal, available(settings.for_code))
    if as_json:
        emit(rows)
    else:
        show(schedule_lines(rows))


def next_times(name: Name, as_json: AsJson = False) -> None:
    """The next five times of a schedule, in its zone, and its rule in words. Needs no Redis.

    Example: conductor schedule next nightly
    """
    import time

    from conductor.base.cron import in_words, zone_of
    from conductor.recovery.notice_commands import known_schedule
    from conductor.views.schedules import next_fires

    settings = settings_here()
    schedule = known_schedule(settings.schedules, name)
    times = list(islice(next_fires(name, schedule, time.time()), SHOWN_TIMES))
    words, zone = in_words(schedule.cron), zone_of(schedule.zone).key
    if as_json:
        emit({"name": name, "cron": schedule.cron, "zone": zone, "when": words, "next": times})
        return
    off = f", put off by up to {schedule.jitter_s:g} s" if schedule.jitter_s else ""
    show([f"{words} ({zone}{off}): {schedule.run}", *(f"  {each.local}" for each in times)])


def run(name: Name, as_json: AsJson = False) -> None:
    """Fire a schedule now, and wait until it has been dispatched. Exit 1 where it failed.

    What is due at its times is due all the same, also while it is paused.

    Example: conductor schedule run nightly
    """
    from conductor.app.schedules.fire import Fire
    from conductor.recovery.notice_commands import known_schedule
    from conductor.views.schedules import words_of

    with ledger_here(is_lenient=False) as (settings, ledger):
        schedule = known_schedule(settings.schedules, name)
        state = taken_now(ledger, name)
        assert state.taken is not None, "just taken"
        end = Fire(ledger, settings.layout, schedule, name, state.taken).run()
    if end is None:
        from conductor.base.errors import Unreachable

        raise Unreachable(f"{name} was not ended: a conductor that leads takes it up again")
    answer(as_json, end, f"{name}: {words_of(end)}")
    raise typer.Exit(code_of(end))


def code_of(end: FireEnd) -> int:
    return 0 if end.outcome == "fired" else 1


def taken_now(ledger: Ledger, name: str) -> ScheduleState:
    """What somebody broke off is taken up; else it fires as of this second. Raises `ConductorError` while it
    fires.
    """
    import os
    import socket

    from conductor.app.schedules.fire import LEASE_S
    from conductor.base.errors import ConductorError

    now, state = ledger.bell.now(), ledger.schedules.states().get(name)
    instant = int(now) if state is None or state.taken is None else state.taken.instant
    if state is None:
        ledger.schedules.know(name, int(now))
    taken = ledger.schedules.take(name, instant, f"{socket.gethostname()}-{os.getpid()}", LEASE_S)
    if taken is None:
        raise ConductorError(f"{name} fires just now: `conductor schedule` shows when it is over")
    return taken


def pause(name: Name, as_json: AsJson = False) -> None:
    """Leave out the fires of a schedule until it is resumed; they are counted, and not made up for.

    Example: conductor schedule pause nightly
    """
    set_paused(name, True, as_json)


def resume(name: Name, as_json: AsJson = False) -> None:
    """Let a paused schedule fire again, from its next time on.

    Example: conductor schedule resume nightly
    """
    set_paused(name, False, as_json)


def set_paused(name: str, is_paused: bool, as_json: bool) -> None:
    from conductor.recovery.notice_commands import known_schedule, pause_schedule

    with ledger_here() as (settings, ledger):
        known_schedule(settings.schedules, name)
        done = pause_schedule(ledger, settings.receipts_dir, name, is_paused)
    word = "is paused: its fires are left out" if is_paused else "fires again, from its next time on"
    if not (is_paused or done.was_paused):
        word = "was not paused"
    answer(as_json, done, f"{name} {word}")


def log(name: Name) -> None:
    """What the last fire of a schedule printed. Exit 1 where it has not fired on this host.

    Example: conductor schedule log nightly
    """
    from conductor.app.schedules.fire import outputs_of
    from conductor.base.errors import ConductorError
    from conductor.recovery.notice_commands import known_schedule

    settings = settings_here()
    known_schedule(settings.schedules, name)
    kept = sorted(outputs_of(settings.logs_dir, name).glob("*.out"))
    if not kept:
        raise ConductorError(f"{name} has not fired on this host: `conductor schedule` shows when it will")
    show(kept[-1].read_text(encoding="utf-8", errors="replace").splitlines())
