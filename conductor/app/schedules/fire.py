"""One fire: plan and dispatch, or a maintenance command, each in a process of its own with a time limit.

Whoever took the fire renews it for as long as these run. Killed in between he leaves it to the next one, who
does all of it again: the plan is tagged with the instant of the fire, so its jobs are the same, and the
ledger knows those that had gone in.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from conductor.adapters.host.processes import kill_tree, spawn, tail
from conductor.base.cron import stamp
from conductor.base.errors import ConductorError, Unreachable
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.base.text import many, printable
from conductor.model.schedule import FireEnd, FireOutcome, TakenFire
from conductor.ports import Ledger
from conductor.record.journal import Journal

LEASE_S = 30.0
#: Of each schedule the output of so many fires is kept.
KEPT_OUTPUTS = 50
#: Exit codes of commands that ran and did what they can: 1 is «found something», or nothing to plan.
RAN = (0, 1)
TIMED_OUT = 124
_SHOWN_CHARS = 300


class BrokenOff(Exception):
    """The fire is not over, and not ours any more: whoever takes it next does all of it."""


class Step(NamedTuple):
    words: tuple[str, ...]
    #: After one of these exit codes the next step is made; after another of `RAN` the fire is over, and well.
    goes_on: tuple[int, ...] = RAN


def outputs_of(logs_dir: Path, name: str) -> Path:
    return logs_dir / "schedules" / name


def manifest_of(layout: Layout, name: str, instant: int) -> Path:
    return layout.manifests_dir / "scheduled" / f"{name}-{stamp(instant)}.jsonl"


def steps_of(name: str, schedule: ScheduleSettings, layout: Layout, instant: int) -> tuple[Step, ...]:
    if schedule.is_maintenance:
        return (Step(schedule.words),)
    manifest = str(manifest_of(layout, name, instant))
    # Two schedules may plan the same at one instant.
    tag = ("--tag", f"{name}-{stamp(instant)}") if schedule.repeat == "all" else ()
    return (
        Step(("plan", *schedule.words, "-o", manifest, *tag), goes_on=(0,)),
        Step(("dispatch", manifest, "--target", f"backlog:{name}")),
    )


class Fire:
    """What was taken, from then to its end. `owner`: as it was taken."""

    def __init__(
        self,
        ledger: Ledger,
        layout: Layout,
        schedule: ScheduleSettings,
        name: str,
        taken: TakenFire,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ledger = ledger
        self._layout = layout
        self._schedule = schedule
        self._taken = taken
        self._should_stop = should_stop
        self.name = name
        self.output = outputs_of(layout.logs_dir, name) / f"{stamp(taken.instant)}.out"

    def run(self) -> FireEnd | None:
        """What it came to, recorded and told. None: it was broken off, and is anybody's when its lease is
        over.
        """
        began_at = self._ledger.bell.now()
        try:
            make_own(self.output.parent)
            exit_code = self._run_steps(began_at)
        except BrokenOff:
            return None
        except OSError as e:
            return self._ended(began_at, 1, "failed", f"its output cannot be kept: {e}")
        outcome: FireOutcome = "fired" if exit_code in RAN else "failed"
        return self._ended(began_at, exit_code, outcome, self._words(exit_code))

    def _run_steps(self, began_at: float) -> int:
        exit_code = 0
        deadline = time.monotonic() + self._schedule.timeout_s
        with self.output.open("wb") as sink:
            for step in steps_of(self.name, self._schedule, self._layout, self._taken.instant):
                exit_code = self._run_step(step, sink.fileno(), deadline)
                if exit_code not in step.goes_on:
                    break
        is_patient = began_at - self._taken.since < self._schedule.timeout_s
        if exit_code == Unreachable.exit_code and is_patient and not self._taken.is_by_hand:
            # Redis, or a service that the plan asks, is away: once the lease is over it is tried again.
            raise BrokenOff
        return exit_code

    def _run_step(self, step: Step, sink: int, deadline: float) -> int:
        argv = [sys.executable, "-P", "-m", "conductor", *step.words]
        env = {"CONDUCTOR_PROJECT": str(self._layout.project)}
        child = spawn(argv, env=env, cwd=self._layout.project, output=sink)
        renew_at = time.monotonic() + LEASE_S / 3
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return child.wait(0.1)
                now = time.monotonic()
                if self._should_stop():
                    raise BrokenOff
                if now > deadline:
                    return TIMED_OUT
                if now > renew_at:
                    self._renew()
                    renew_at = now + LEASE_S / 3
        finally:
            if child.poll() is None:
                kill_tree(child.pid)
                child.wait()

    def _renew(self) -> None:
        with contextlib.suppress(Unreachable):
            if not self._ledger.schedules.keep(self.name, self._taken.instant, self._taken.owner, LEASE_S):
                raise BrokenOff

    # ── its end ───────────────────────────────────────────────────────────────────────────────────────────

    def _words(self, exit_code: int) -> str:
        if exit_code == TIMED_OUT:
            return f"it took longer than timeout_s ({self._schedule.timeout_s:g} s), and was ended"
        said = tail(self.output, 0).strip().splitlines()
        return printable(said[-1] if said else f"it ended with exit code {exit_code}")[:_SHOWN_CHARS]

    def _jobs(self) -> int:
        manifest = manifest_of(self._layout, self.name, self._taken.instant)
        if self._schedule.is_maintenance or not manifest.is_file():
            return 0
        with manifest.open("rb") as lines:
            return sum(1 for _ in lines)

    def _ended(self, began_at: float, exit_code: int, outcome: FireOutcome, words: str) -> FireEnd | None:
        taken = self._taken
        end = FireEnd(
            instant=taken.instant,
            began_at=began_at,
            ended_at=self._ledger.bell.now(),
            outcome=outcome,
            jobs=self._jobs() if outcome == "fired" else 0,
            exit_code=exit_code,
            words=words,
            output=str(self.output),
        )
        # The journal first: a ledger that is emptied between the two is told by it.
        journal = Journal(self._layout.receipts_dir)
        journal.schedule("fire_ended", self.name, taken.instant, 1, words, is_by_hand=taken.is_by_hand)
        if not self._ledger.schedules.end(self.name, taken.owner, end):
            return None
        self._tell(end)
        prune(self.output.parent)
        return end

    def _tell(self, end: FireEnd) -> None:
        fire, seconds = f"{self.name}@{stamp(end.instant)}", round(end.ended_at - end.began_at, 3)
        if end.outcome == "failed":
            emit_event("schedule.failed", "Schedule {schedule} failed: {error} ({file} has all of it)",
                       schedule=self.name, fire=fire, exit_code=end.exit_code, error=end.words,
                       file=end.output, seconds=seconds)  # fmt: skip
            return
        what = many(end.jobs, "job") if not self._schedule.is_maintenance else end.words
        emit_event("schedule.fired", "Schedule {schedule} fired: {}", what, schedule=self.name, fire=fire,
                   jobs=end.jobs, seconds=seconds)  # fmt: skip


def prune(folder: Path) -> None:
    """The names sort by time."""
    for old in sorted(folder.glob("*.out"))[:-KEPT_OUTPUTS]:
        with contextlib.suppress(OSError):
            old.unlink()


def in_thread(fire: Fire) -> threading.Thread:
    """Running. A child dies with the thread that started it, so each fire has its own."""

    def run() -> None:
        try:
            fire.run()
        except ConductorError as e:  # Its lease runs out, and the next one does it again.
            logger.warning("The end of a fire of schedule {} was not recorded: {}", fire.name, e)

    thread = threading.Thread(target=run, name=f"fire {fire.name}", daemon=True)
    thread.start()
    return thread
