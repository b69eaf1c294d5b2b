"""Carries out what the machine asks for, and tells it what came of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from loguru import logger

from conductor.base.errors import ConductorError, Unreachable
from conductor.model.ledger_entries import Turned
from conductor.model.receipt import Receipt
from workers.attempt import saved_outputs
from workers.attempt.attempt import Attempt, AttemptRefused
from workers.attempt.outcome import Done, Runner
from workers.attempt.parts import Parts
from workers.isolation.child_process import ChildBroken
from workers.isolation.protocol import BodyEnded
from workers.machine import actions
from workers.machine.batching import FLUSH_S
from workers.machine.machine import WorkerMachine
from workers.machine.turns import AGAIN_S
from workers.parent.execution import Course
from workers.parent.successors import Heirs
from workers.task_api import failure_causes
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.machine.actions import Action
    from workers.machine.held_attempts import Key
    from workers.parent.intake import Intake

#: How an attempt ended; None: it was not this worker's turn (any more).
OnEnd = Callable[[Receipt], None]


class Flow:
    """One worker's, main thread only."""

    def __init__(self, parts: Parts, queue: str = "", on_end: OnEnd = lambda receipt: None, *,
                 intake: Intake | None = None, in_hand: Sequence[Key] = ()) -> None:  # fmt: skip
        """`queue`: taken from by `intake` until this worker is told to leave; empty: nothing but `in_hand` is
        run, (job id, attempt) of entries that were taken from the queue."""
        self._parts = parts
        self._on_end = on_end
        self._intake = intake
        self._runner = Runner(parts)
        self._machine = WorkerMachine(parts.worker, queue, parts.settings.lease_s, in_hand)
        self._hand, self._row, self._turns = self._machine.hand, self._machine.row, self._machine.turns
        self._course = Course(parts.host, parts.stopping, self._machine)
        self._heirs = Heirs(parts, self._hand, self._course)
        parts.watchdog.over(self._course, self._hand)
        self._is_reachable = True
        self._handlers: dict[type[Action], Callable[[Any], None]] = {
            actions.Take: self._take,
            actions.Recall: self._recall,
            actions.PutBack: self._put_back,
            actions.SendTurn: self._ask,
            actions.Understand: self._understand,
            actions.HoldLeases: self._hold,
            actions.ReleaseLeases: self._release,
            actions.Write: self._write,
            actions.HandIn: self._hand_in,
            actions.Fail: self._fail,
            actions.Disown: self._disown,
            actions.Give: self._give,
            actions.LineUp: self._line_up,
            actions.Doubt: self._doubt,
            actions.Begin: self._course.begin,
            actions.Listen: self._listen,
            actions.TakeBack: self._course.take_back,
            actions.StopBody: self._stop_body,
            actions.KillChild: self._kill,
            actions.Blame: self._course.blame,
            actions.Publish: self._publish,
        }

    def work(self) -> None:
        """Until this worker is to leave, and nothing is in its hand."""
        action = self._next()
        while action is not None:
            if isinstance(action, actions.Idle):
                self._do(action)
                action = self._next()
            else:
                with self._parts.claim.busy():
                    while action is not None and not isinstance(action, actions.Idle):
                        self._do(action)
                        action = self._next()
            # Also a worker that has nothing more to write down: its receipts may have gone since.
            self._parts.receipts.look()

    def _next(self) -> Action | None:
        """What to do, now that all that was said from outside is known."""
        interrupts, keeper, running = self._machine.interrupts, self._parts.keeper, self._hand.running
        interrupts.leave(self._parts.stopping.level)
        while (heard := keeper.next_verdict()) is not None:
            held, verdict = heard
            if self._hand.has(held.job_id, held.attempt):
                interrupts.lease((held.job_id, held.attempt), verdict)
        if running is not None and running.held.meter.beyond:
            interrupts.overran((running.job_id, running.number), AttemptFault(*running.held.meter.beyond))
        while self._parts.lining is not None and (word := self._parts.lining.next()) is not None:
            self._machine.lined(word)
        return self._machine.next(time.monotonic())

    def _do(self, action: Action) -> None:
        self._handlers[type(action)](action)

    # ── the queue ─────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, action: actions.Take) -> None:
        assert self._intake is not None, "a queue has one"
        try:
            taken = self._intake.take(lambda: action.turn)
        except Unreachable as e:
            self._is_away(e)
            self._parts.stopping.sleep(AGAIN_S)
            return
        self._is_back()
        self._say(taken.turned, self._turns.taken(taken.turned, taken.asked_at))

    def _recall(self, action: actions.Recall) -> None:
        """Started for this worker, and it never heard of it: it goes back unbegun, as all else does."""
        assert self._intake is not None, "a queue has one"
        try:
            taken = self._intake.settle()
        except ConductorError as e:
            self._leave_behind(e)
            return
        turned, asked_at = taken or (Turned(), time.monotonic())
        self._say(turned, self._turns.taken(turned, asked_at))

    def _put_back(self, action: actions.PutBack) -> None:
        assert self._intake is not None, "a queue has one"
        try:
            self._intake.put_back()
        except ConductorError as e:
            self._leave_behind(e)
        self._turns.lost()

    def _leave_behind(self, error: ConductorError) -> None:
        logger.warning("{}; what this worker holds is found by its supervisor", error)
        self._turns.lost()

    # ── the ledger ────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, action: actions.SendTurn) -> None:
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
        for job_id, number in twice:
            logger.error("Told twice to run {} attempt {}: once is enough", job_id, number)
        for job_id, number in turned.over:
            logger.info(
                "Not started: {} attempt {}: it is over, or another attempt has its place", job_id, number
            )

    def _is_away(self, error: Unreachable) -> None:
        if self._is_reachable:
            logger.warning("{}; asking again until it answers", error)
        self._is_reachable = False

    def _is_back(self) -> None:
        if not self._is_reachable:
            logger.info("Redis answers again")
        self._is_reachable = True

    def _understand(self, action: actions.Understand) -> None:
        parts, understood = self._parts, list[Attempt]()
        for started in action.started:
            try:
                understood.append(Attempt(started, parts.catalogue, parts.settings, action.valid_until))
            except AttemptRefused as e:
                self._on_end(self._runner.refuse(started, e))
        self._turns.understood(understood)

    def _hold(self, action: actions.HoldLeases) -> None:
        for held in action.helds:
            self._parts.keeper.hold(held)
        self._parts.keeper.saw(action.step)

    def _release(self, action: actions.ReleaseLeases) -> None:
        for held in action.helds:
            self._parts.keeper.release(held)

    def _write(self, action: actions.Write) -> None:
        self._turns.written(self._runner.write(action.done))

    def _hand_in(self, action: actions.HandIn) -> None:
        self._course.refresh()
        self._runner.handed_in(action.done, action.answers)
        self._turns.handed_in()
        for each in action.done:
            self._on_end(each.receipt)

    def _fail(self, action: actions.Fail) -> None:
        receipt = self._runner.settle(action.unpublished)
        self._machine.settled(action.unpublished, None if receipt is None else receipt.cause or "task_error")
        if receipt is not None:
            self._on_end(receipt)

    def _disown(self, action: actions.Disown) -> None:
        action.attempt.held.verdict = "gone"

    # ── the child ─────────────────────────────────────────────────────────────────────────────────────────

    def _give(self, action: actions.Give) -> None:
        for attempt in action.attempts:
            if self._hand.given and self._heirs.has_to_wait(attempt):
                return self._row.stays()
            if (said := self._before(attempt)) is not None:
                return self._row.over_unbegun(said)
            if not self._is_given(attempt):
                return None
        return None

    def _before(self, attempt: Attempt) -> BodyEnded | AttemptFault | None:
        """How it ends without a body."""
        if (fault := self._runner.kept_back(attempt)) is not None:
            return fault
        layout, spec = self._parts.settings.layout, attempt.spec
        attempt.earlier = earlier = saved_outputs.find(layout, spec, attempt.number)
        saved_outputs.clean_before(layout, spec, attempt.number)
        if earlier is None:
            return None
        return BodyEnded(job_id=attempt.job_id, attempt=attempt.number, result=earlier.result)

    def _is_given(self, attempt: Attempt) -> bool:
        is_first = not self._hand.given
        try:
            if is_first:
                self._parts.host.ensure(attempt.visible)
            self._claim(attempt)
            self._course.give(attempt)
        except ChildBroken as e:
            if is_first:
                self._parts.host.kill()
                self._row.false_start(failure_causes.cut(str(e)))
            else:
                self._row.stays()
            return False
        # Noted once the body has begun, before anybody can have changed it.
        _ = attempt.code_version
        return True

    def _claim(self, attempt: Attempt) -> None:
        self._parts.claim.take(attempt.job_id, attempt.number, attempt.reserved, self._parts.host.pid)

    def _line_up(self, action: actions.LineUp) -> None:
        if not self._heirs.is_lined_up(action):
            self._machine.not_lined_up(action.word)

    def _doubt(self, action: actions.Doubt) -> None:
        self._machine.doubted(self._heirs.is_doubtful(action.successor))

    def _listen(self, action: actions.Listen) -> None:
        self._course.wait(action.until, action.limit_s, action.nap_s)

    def _stop_body(self, action: actions.StopBody) -> None:
        self._parts.host.stop_body()

    def _kill(self, action: actions.KillChild) -> None:
        self._course.kill(action.fault)

    def _publish(self, action: actions.Publish) -> None:
        attempt, said = action.end
        if isinstance(said, BodyEnded):
            if said.began_at is not None:
                attempt.began_at, attempt.left_running = said.began_at, said.left_running
            if said.files is not None:
                self._parts.host.watch(said.files, attempt.began_at)
        if action.follower is not None:
            self._claim(action.follower)
        outcome = self._runner.conclude(attempt, said)
        if isinstance(said, BodyEnded):
            self._parts.host.weigh(said, attempt.held.meter.vram_now_mib)
            if said.warm is not None:
                self._parts.claim.keeps(said.warm)
        if not self._hand.given:
            self._parts.host.tidy()
        if isinstance(outcome, Done):
            self._machine.published(outcome, time.monotonic() - _late_s(said))
        else:
            self._machine.unpublished(outcome)


def _late_s(said: BodyEnded | AttemptFault) -> float:
    """How long ago a body ended."""
    if not isinstance(said, BodyEnded) or said.began_at is None:
        return 0.0
    return min(FLUSH_S, max(0.0, time.time() - said.began_at - said.seconds))
