"""The ledger's side of the machine: the queue, turns, leases, receipts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from conductor.base.errors import ConductorError, Unreachable
from conductor.base.logs.events import emit_event
from conductor.model.ledger_entries import Turned
from conductor.model.receipt import Receipt
from conductor.model.subject import NAMELESS, SHORT_ID, subject_of_line
from workers.attempt.attempt import Attempt, AttemptRefused
from workers.machine.turns import AGAIN_S

if TYPE_CHECKING:
    from workers.attempt.outcome import Runner
    from workers.attempt.parts import Parts
    from workers.machine import actions
    from workers.machine.held_attempts import Key
    from workers.machine.machine import WorkerMachine
    from workers.parent.execution import Course
    from workers.parent.intake import Intake

#: How an attempt ended. Not called where it was not this worker's turn (any more).
OnEnd = Callable[[Receipt], None]


class LedgerActions:
    """One worker's, main thread only. Each method carries out the action of its name."""

    def __init__(
        self,
        parts: Parts,
        machine: WorkerMachine,
        runner: Runner,
        course: Course,
        intake: Intake | None,
        on_end: OnEnd,
        idle_s: float,
    ) -> None:
        self._parts = parts
        self._machine, self._turns = machine, machine.turns
        self._runner = runner
        self._course = course
        self._intake = intake
        self._on_end = on_end
        self._is_reachable = True
        self._idle_s = idle_s
        #: (monotonic) since then nothing came; None: something is, or just was, in hand.
        self._idle_since: float | None = None

    # ── the queue ─────────────────────────────────────────────────────────────────────────────────────────

    def take(self, action: actions.Take) -> None:
        assert self._intake is not None, "a queue has one"
        if self._idle_since is None:
            self._idle_since = time.monotonic()
        try:
            taken = self._intake.take(lambda: action.turn)
        except Unreachable as e:
            self._is_away(e)
            self._parts.stopping.sleep(AGAIN_S)
            return
        self._is_back()
        self._say(taken.turned, self._turns.taken(taken.turned, taken.asked_at))
        self._rest(taken.turned)

    def _rest(self, turned: Turned) -> None:
        """What it keeps warm for the next job is its node's to end (`workers.warm_idle_s`)."""
        if turned.started or turned.is_closed or self._parts.host.is_warm:
            self._idle_since = None
        elif self._idle_since is not None and 0 < self._idle_s <= time.monotonic() - self._idle_since:
            self._parts.stopping.retire()

    def recall(self, action: actions.Recall) -> None:
        """Started for this worker, and it never heard of it: it goes back unbegun, as all else does."""
        assert self._intake is not None, "a queue has one"
        try:
            taken = self._intake.settle()
        except ConductorError as e:
            self._leave_behind(e)
            return
        turned, asked_at = taken or (Turned(), time.monotonic())
        self._say(turned, self._turns.taken(turned, asked_at))

    def put_back(self, action: actions.PutBack) -> None:
        assert self._intake is not None, "a queue has one"
        try:
            self._intake.put_back()
        except ConductorError as e:
            self._leave_behind(e)
        self._turns.lost()

    def _leave_behind(self, error: ConductorError) -> None:
        emit_event(
            "redis.lost", "{error}; what this worker holds is found by its supervisor", error=str(error)
        )
        self._turns.lost()

    # ── the ledger ────────────────────────────────────────────────────────────────────────────────────────

    def send_turn(self, action: actions.SendTurn) -> None:
        if action.wait_s > 0:
            self._parts.stopping.sleep(action.wait_s)
        try:
            turned = self._parts.ledger.attempts.turn(action.turn)
        except Unreachable as e:
            self._is_away(e)
            self._turns.unreachable()
            return
        self._is_back()
        self._say(turned, self._turns.answered(turned))

    def _say(self, turned: Turned, twice: Sequence[Key]) -> None:
        lines = {started.reservation.job_id: started.line for started in turned.started} if twice else {}
        for job_id, number in twice:
            words = "Told twice to run {about} ({}) attempt {attempt}: once is enough"
            emit_event("attempt.told_twice", words, job_id[:SHORT_ID], job_id=job_id, attempt=number,
                       about=subject_of_line(lines.get(job_id, b""), NAMELESS))  # fmt: skip
        lines = self._lines([job_id for job_id, _ in turned.over])
        for job_id, number in turned.over:
            words = "Not started: {about} ({}) attempt {attempt}: it is over, or another has its place"
            emit_event("attempt.not_started", words, job_id[:SHORT_ID], job_id=job_id, attempt=number,
                       about=subject_of_line(lines.get(job_id, b""), NAMELESS))  # fmt: skip

    def _lines(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Of few that are to be named; where Redis has just gone they have no name."""
        with suppress(Unreachable):
            return self._parts.ledger.jobs.lines(ids) if ids else {}
        return {}

    def _is_away(self, error: Unreachable) -> None:
        if self._is_reachable:
            emit_event("redis.lost", "{error}; asking again until it answers", error=str(error))
        self._is_reachable = False

    def _is_back(self) -> None:
        if not self._is_reachable:
            emit_event("redis.back", "Redis answers again")
        self._is_reachable = True

    def understand(self, action: actions.Understand) -> None:
        parts, understood = self._parts, list[Attempt]()
        for started in action.started:
            try:
                understood.append(Attempt(started, parts.catalogue, parts.settings, action.valid_until))
            except AttemptRefused as e:
                self._on_end(self._runner.refuse(started, e))
        self._turns.understood(understood)

    def hold_leases(self, action: actions.HoldLeases) -> None:
        for held in action.helds:
            self._parts.keeper.hold(held)
        self._parts.keeper.saw(action.step)

    def release_leases(self, action: actions.ReleaseLeases) -> None:
        for held in action.helds:
            self._parts.keeper.release(held)

    def write(self, action: actions.Write) -> None:
        self._turns.written(self._runner.write(action.done))

    def hand_in(self, action: actions.HandIn) -> None:
        self._course.refresh()
        self._runner.handed_in(action.done, action.answers)
        self._turns.handed_in()
        for each in action.done:
            self._on_end(each.receipt)

    def fail(self, action: actions.Fail) -> None:
        receipt = self._runner.settle(action.unpublished)
        self._machine.settled(action.unpublished, None if receipt is None else receipt.cause or "task_error")
        if receipt is not None:
            self._on_end(receipt)

    def disown(self, action: actions.Disown) -> None:
        action.attempt.held.verdict = "gone"
