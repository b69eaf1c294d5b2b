"""Has every action that the machine asks for carried out, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workers.attempt.outcome import Runner
from workers.machine import actions
from workers.machine.machine import WorkerMachine
from workers.parent.child_actions import ChildActions
from workers.parent.execution import Course
from workers.parent.ledger_actions import LedgerActions, OnEnd
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.attempt.parts import Parts
    from workers.machine.actions import Action
    from workers.machine.held_attempts import Key
    from workers.parent.intake import Intake


class Flow:
    """One worker's, main thread only."""

    def __init__(self, parts: Parts, queue: str = "", on_end: OnEnd = lambda receipt: None, *,
                 intake: Intake | None = None, in_hand: Sequence[Key] = (),
                 idle_s: float = 0.0) -> None:  # fmt: skip
        """`queue`: taken from by `intake` until this worker is told to leave; empty: nothing but `in_hand` is
        run, (job id, attempt) of entries that were taken from the queue. `idle_s`: it retires after so long
        without any; 0: never."""
        self._parts = parts
        self._machine = WorkerMachine(parts.worker, queue, parts.settings.lease_s, in_hand)
        self._hand = self._machine.hand
        self._course = course = Course(parts.host, parts.stopping, self._machine)
        parts.watchdog.over(course, self._hand)
        runner = Runner(parts)
        ledger = LedgerActions(parts, self._machine, runner, course, intake, on_end, idle_s)
        child = ChildActions(parts, self._machine, runner, course)
        self._handlers: dict[type[Action], Callable[[Any], None]] = {
            actions.Take: ledger.take,
            actions.Recall: ledger.recall,
            actions.PutBack: ledger.put_back,
            actions.SendTurn: ledger.send_turn,
            actions.Understand: ledger.understand,
            actions.HoldLeases: ledger.hold_leases,
            actions.ReleaseLeases: ledger.release_leases,
            actions.Write: ledger.write,
            actions.HandIn: ledger.hand_in,
            actions.Fail: ledger.fail,
            actions.Disown: ledger.disown,
            actions.Give: child.give,
            actions.Preload: child.preload,
            actions.Doubt: child.doubt,
            actions.LookAtBody: course.look,
            actions.Begin: course.begin,
            actions.Listen: child.listen,
            actions.TakeBack: course.take_back,
            actions.StopBody: child.stop_body,
            actions.KillChild: child.kill_child,
            actions.FindFault: course.blame,
            actions.Publish: child.publish,
        }

    def work(self) -> None:
        """Until this worker is to leave, and nothing is in its hand."""
        action = self._next()
        while action is not None:
            if isinstance(action, actions.Idle):
                self._do(action)
                # Also a worker that has nothing more to write down: its receipts may have gone since.
                self._parts.receipts.look()
                if self._machine.turns.opening is None:
                    self._parts.host.rest()
                action = self._next()
            else:
                with self._parts.claim.busy():
                    while action is not None and not isinstance(action, actions.Idle):
                        self._do(action)
                        action = self._next()

    def _next(self) -> Action | None:
        """What to do, now that all that was said from outside is known. What follows from the last event
        whatever is said is done first: half of all actions."""
        ordered = self._machine.ordered()
        if ordered is not None:
            return ordered
        self._hear_outside()
        return self._machine.next(time.monotonic())

    def _hear_outside(self) -> None:
        interrupts, keeper, running = self._machine.interrupts, self._parts.keeper, self._hand.running
        if self._parts.stopping.level:
            interrupts.leave(self._parts.stopping.level)
        while (heard := keeper.next_verdict()) is not None:
            held, verdict = heard
            if self._hand.has(held.job_id, held.attempt):
                interrupts.lease((held.job_id, held.attempt), verdict)
        if running is not None and running.held.meter.beyond:
            interrupts.overran((running.job_id, running.number), AttemptFault(*running.held.meter.beyond))
        while self._parts.lining is not None and (word := self._parts.lining.next()) is not None:
            self._machine.preloaded(word)

    def _do(self, action: Action) -> None:
        self._handlers[type(action)](action)
