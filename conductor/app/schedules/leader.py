"""The leader's thread that fires schedules at their times. A standby runs it too, and does nothing in it.

Which fire is whose is decided in the ledger, fenced by the leader's epoch: two that think they lead fire
once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import takewhile
from types import TracebackType

from loguru import logger

from conductor.app.schedules.fire import LEASE_S, Fire, in_thread
from conductor.base.cron import instants, stamp, zone_of
from conductor.base.errors import ConductorError, Fenced, Unreachable
from conductor.base.files.layout import Layout
from conductor.base.logs.events import emit_event
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.base.text import many
from conductor.core.schedules.due import DueFires, SkippedFires, due, passed
from conductor.model.schedule import ScheduleRule, ScheduleState
from conductor.ports import Ledger
from conductor.record.journal import Journal
from conductor.record.schedule_notes import ScheduleNotes, schedules_of

LOOK_EVERY_S = 1.0
#: Of a schedule that nobody looked at for longer the fires before that are not counted as missed.
LOOK_BACK_S = 31 * 86_400
WORDS = {
    "missed": "it was missed: no conductor was up at its time",
    "overlap": "the fire before it is not over",
    "paused": "it is paused",
}


class ScheduleKeeper:
    """Use as a context manager. `epoch`: the leader's, None while this process does not lead; `why_not`: why
    nothing may be started now."""

    def __init__(
        self,
        ledger: Ledger,
        layout: Layout,
        schedules: Mapping[str, ScheduleSettings],
        owner: str,
        epoch: Callable[[], int | None],
        why_not: Callable[[], str | None],
    ) -> None:
        self._ledger = ledger
        self._layout = layout
        self._schedules = schedules
        self._owner = owner
        self._epoch = epoch
        self._why_not = why_not
        self._journal = Journal(layout.receipts_dir)
        #: The lead for which the ledger was told what the journal knows.
        self._told_for: int | None = None
        #: Name → (handled up to, the first instant after that).
        self._next: dict[str, tuple[int, int]] = {}
        self._running: dict[str, threading.Thread] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="schedules", daemon=True)

    def __enter__(self) -> ScheduleKeeper:
        if self._schedules:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for thread in self._running.values():
            thread.join()

    def _work(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self.look()
            except (Unreachable, Fenced) as e:
                logger.debug("Schedules wait: {}", e)
            except ConductorError as e:
                logger.warning("Schedules wait: {}", e)

    # ── one look ──────────────────────────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Fire what is due. Raises `Unreachable`, `Fenced`, and `ConfigError` where the journal cannot be
        written.
        """
        epoch = self._epoch()
        if epoch is None or self._why_not() is not None:
            self._told_for = None
            return
        if epoch != self._told_for:
            self._tell_ledger()
            self._told_for = epoch
        now, states = self._ledger.bell.now(), self._ledger.schedules.states()
        for name, schedule in self._schedules.items():
            state = states.get(name)
            if state is not None:
                self._look_at(name, schedule, state, now, epoch)

    def _tell_ledger(self) -> None:
        """It may have been emptied, or have stepped back: what the journal knows to be over is over. A
        schedule that nobody has heard of begins now."""
        known, now = schedules_of(self._journal.notes()), int(self._ledger.bell.now())
        states = self._ledger.schedules.states()
        for name in self._schedules:
            noted = known.get(name, ScheduleNotes())
            begins = 0 if name in states or noted.handled_to else now
            self._ledger.schedules.know(name, max(noted.handled_to, begins), is_paused=noted.is_paused)

    def _look_at(
        self, name: str, schedule: ScheduleSettings, state: ScheduleState, now: float, epoch: int
    ) -> None:
        rule = schedule.rule(name)
        waiting = self._passed(rule, schedule, state, now)
        if not waiting and state.taken is None:
            return
        running = self._running.get(name)
        if running is not None and running.is_alive() and state.taken is not None:
            # Its lease may have run out while Redis was away: it is still at it.
            now = min(now, state.taken.until - LOOK_EVERY_S)
        found = due(
            rule,
            waiting,
            now,
            taken=state.taken,
            is_busy=bool(waiting) and self._is_busy(name, schedule),
            is_paused=state.is_paused,
            has_waited=state.waits_since > 0,
        )
        self._carry_out(name, schedule, found, epoch)

    def _passed(
        self, rule: ScheduleRule, schedule: ScheduleSettings, state: ScheduleState, now: float
    ) -> tuple[int, ...]:
        zone, begins = zone_of(schedule.zone), max(state.handled_to, int(now - LOOK_BACK_S))
        handled_to, first = self._next.get(rule.name, (-1, 0))
        if handled_to != state.handled_to:
            first = next(instants(schedule.cron, zone, begins))
            self._next[rule.name] = (state.handled_to, first)
        if first > now:
            return ()
        found = takewhile(lambda at: at <= now, instants(schedule.cron, zone, begins))
        return passed(rule, found, now)

    def _is_busy(self, name: str, schedule: ScheduleSettings) -> bool:
        """Jobs of the fire before are not over."""
        if schedule.is_maintenance:
            return False
        counts = self._ledger.tallies.counts(name)
        return any(counts.get(state) for state in ("waiting", "admitted", "running"))

    # ── what comes of it ──────────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, name: str, schedule: ScheduleSettings, found: DueFires, epoch: int) -> None:
        if found.skip is not None:
            self._skip(name, found.skip, epoch)
        if found.waits:
            self._ledger.schedules.hold(epoch, name)
        if found.fire:
            self._fire(name, schedule, found.fire[0], epoch)

    def _skip(self, name: str, skip: SkippedFires, epoch: int) -> None:
        last, count = skip.instants[-1], len(skip.instants)
        if not self._ledger.schedules.skip(epoch, name, last, count):
            return
        self._journal.schedule("fires_skipped", name, last, count, skip.why)
        which = f"{many(count, 'fire')} of schedule {name}" if count > 1 else f"Schedule {name}"
        emit_event("schedule.skipped", "{} skipped: {why}", which, schedule=name,
                   fire=f"{name}@{stamp(last)}", fires=count, why=WORDS[skip.why])  # fmt: skip

    def _fire(self, name: str, schedule: ScheduleSettings, instant: int, epoch: int) -> None:
        state = self._ledger.schedules.take(name, instant, self._owner, LEASE_S, epoch)
        if state is None or state.taken is None:
            return
        fire = Fire(self._ledger, self._layout, schedule, name, state.taken, self._stop.is_set)
        self._running[name] = in_thread(fire)
