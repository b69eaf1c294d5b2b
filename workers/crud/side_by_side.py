"""The parts of a job, each in a thread of its own, on one store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from conductor.ports.store import SqlStore
from workers.crud.lifecycle import STEPS, CrudPart, LifecycleRecord, LifecycleStep, lived
from workers.task_api.context import JobContext, Stopped
from workers.task_api.toolkit import leave_if_told

_LOOK_S = 0.1


def all_lived(ctx: JobContext, store: SqlStore, parts: Sequence[CrudPart]) -> list[LifecycleRecord]:
    """Where one part fails the others leave after their step, and what it raised is raised."""
    leave, steps = threading.Event(), [0] * len(parts)
    whole = sum(len(STEPS) * part.rounds for part in parts)

    def work(part: CrudPart) -> LifecycleRecord:
        def on_step(step: LifecycleStep) -> None:
            steps[part.number] += 1
            leave_if_told(ctx)
            if leave.is_set():
                raise Stopped("stopped: another thread of this job failed")

        return lived(store, part, on_step)

    with ThreadPoolExecutor(len(parts)) as pool:
        running = [pool.submit(work, part) for part in parts]
        while True:
            over, left = wait(running, _LOOK_S, FIRST_EXCEPTION)
            if any(each.exception() for each in over):
                leave.set()
            ctx.progress(sum(steps) / whole, f"{sum(steps)} of {whole} steps")
            if not left:
                break
    raised = [error for each in running if (error := each.exception()) is not None]
    # Who only left for another's sake says nothing of the reason.
    for error in sorted(raised, key=lambda one: isinstance(one, Stopped)):
        raise error
    return [each.result() for each in running]
