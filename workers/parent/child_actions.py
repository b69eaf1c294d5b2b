"""The machine's actions on the child, and what becomes of a body that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workers.attempt import saved_outputs
from workers.attempt.outcome import Done
from workers.isolation.child_process import ChildBroken
from workers.isolation.protocol import BodyEnded
from workers.machine.batching import FLUSH_S
from workers.parent.successors import PreloadedSuccessors
from workers.task_api import failure_causes
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from workers.attempt.attempt import Attempt
    from workers.attempt.outcome import Runner
    from workers.attempt.parts import Parts
    from workers.machine import actions
    from workers.machine.machine import WorkerMachine
    from workers.parent.execution import Course


class ChildActions:
    """One worker's, main thread only. Each method carries out the action of its name."""

    def __init__(self, parts: Parts, machine: WorkerMachine, runner: Runner, course: Course) -> None:
        self._parts = parts
        self._machine, self._hand, self._row = machine, machine.hand, machine.row
        self._runner = runner
        self._course = course
        self._successors = PreloadedSuccessors(parts, machine.hand, course)

    def give(self, action: actions.Give) -> None:
        for attempt in action.attempts:
            if self._hand.given and self._successors.has_to_wait(attempt):
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
        held, pid = attempt.held, self._parts.host.pid
        self._parts.claim.take(held.job_id, held.attempt, held.about, attempt.reserved, pid)

    def preload(self, action: actions.Preload) -> None:
        if not self._successors.is_preloaded(action):
            self._machine.not_preloaded(action.word)

    def doubt(self, action: actions.Doubt) -> None:
        self._machine.doubted(self._successors.is_doubtful(action.successor))

    def listen(self, action: actions.Listen) -> None:
        self._course.wait(action.until, action.limit_s, action.nap_s)

    def stop_body(self, action: actions.StopBody) -> None:
        self._parts.host.stop_body()

    def kill_child(self, action: actions.KillChild) -> None:
        self._course.kill(action.fault)

    def publish(self, action: actions.Publish) -> None:
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
            self._parts.host.clean_up()
        if isinstance(outcome, Done):
            self._machine.published(outcome, time.monotonic() - _late_s(said))
        else:
            self._machine.unpublished(outcome)


def _late_s(said: BodyEnded | AttemptFault) -> float:
    """How long ago a body ended."""
    if not isinstance(said, BodyEnded) or said.began_at is None:
        return 0.0
    return min(FLUSH_S, max(0.0, time.time() - said.began_at - said.seconds))
