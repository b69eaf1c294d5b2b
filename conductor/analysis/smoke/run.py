"""A small run against the stack that is up, measured: jobs without effect, of a backlog of their own.

Every figure is what somebody who stands outside sees: the clock runs from the moment the jobs are handed in,
and somebody looks from then on, also while they are still being handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from conductor.base.errors import ConductorError
from conductor.model.identity import content_id
from conductor.model.ledger_entries import JobState
from conductor.model.spec import JobSpec, Value

BACKLOG = "smoke"
TASK = "diagnostics.echo"
LOOK_EVERY_S = 0.005
#: At most so many looks a second once it runs: who looks takes time from what runs.
THEN_EVERY_S = 0.05


class SmokeFigures(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Seconds; `first_*` and `end_s` since the jobs were handed in."""

    jobs: int
    put_s: float
    first_admission_s: float
    first_done_s: float
    end_s: float
    jobs_per_s: float
    verify_s: float


class SmokeDoor(Protocol):
    """The transport: how the jobs go in, how one looks, how they are proved and taken out again."""

    def counts(self) -> dict[JobState, int]:
        """Of the backlog."""
        ...

    def put(self, specs: Sequence[JobSpec]) -> None: ...

    def verify(self) -> bool: ...

    def clean(self, specs: Sequence[JobSpec]) -> None:
        """What has not ended is cancelled; what was written is removed."""
        ...


def specs_of(jobs: int, stamp: str) -> list[JobSpec]:
    """`stamp`: tells the jobs of one run from those of every other."""
    args = ({"text": f"smoke {stamp} {n}"} for n in range(jobs))
    return [
        JobSpec(v=1, id=content_id("smoke", TASK, each, {}), workflow="smoke", task=TASK, args=each)
        for each in args
    ]


#: Does it beside whoever looks meanwhile.
Beside = Callable[[Callable[[], float]], Future[float]]


def in_a_thread(act: Callable[[], float]) -> Future[float]:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(act)
    finally:
        pool.shutdown(wait=False)


def smoke(
    door: SmokeDoor,
    jobs: int,
    stamp: str,
    limit_s: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
    beside: Beside = in_a_thread,
) -> SmokeFigures:
    """Raises `ConductorError` where it does not end well in time; it is cleaned up in any case."""
    specs = specs_of(jobs, stamp)
    before = door.counts()
    begin = clock()

    def elapsed() -> float:
        return clock() - begin

    def put() -> float:
        door.put(specs)
        return elapsed()

    putting = beside(put)
    try:
        first_admission_s, first_done_s, end_s = _followed(
            door, before, jobs, limit_s, elapsed, pause, putting
        )
        put_s = putting.result()
        begin_verify = clock()
        if not door.verify():
            raise ConductorError("the jobs of the smoke run are done, and verify does not say so: see above")
        verify_s = clock() - begin_verify
    finally:
        putting.exception()  # what is still handed in could not be taken out again
        door.clean(specs)
    return SmokeFigures(
        jobs=jobs,
        put_s=round(put_s, 4),
        first_admission_s=round(first_admission_s, 4),
        first_done_s=round(first_done_s, 4),
        end_s=round(end_s, 4),
        jobs_per_s=round(jobs / max(end_s, 1e-6), 2),
        verify_s=round(verify_s, 4),
    )


def _followed(
    door: SmokeDoor,
    before: dict[JobState, int],
    jobs: int,
    limit_s: float,
    elapsed: Callable[[], float],
    pause: Callable[[float], None],
    putting: Future[float],
) -> tuple[float, float, float]:
    """When the first was handed to a worker, when the first was done, when the last was."""
    admitted_s = done_s = 0.0
    while True:
        now = door.counts()
        at = elapsed()
        new = {state: count - before.get(state, 0) for state, count in now.items()}
        begun = sum(count for state, count in new.items() if state != "waiting")
        done, lost = new.get("done", 0), new.get("dead", 0) + new.get("review", 0) + new.get("cancelled", 0)
        if begun > 0 and not admitted_s:
            admitted_s = at
        if done > 0 and not done_s:
            done_s = at
        if putting.done():
            putting.result()
        if done >= jobs:
            return admitted_s, done_s, at
        if lost > 0:
            raise ConductorError(
                f"{lost} of the {jobs} jobs of the smoke run did not end well: `conductor status`"
            )
        if at > limit_s:
            raise ConductorError(
                f"{done} of the {jobs} jobs of the smoke run are done after {limit_s:g} s: "
                "`conductor status` says what holds them"
            )
        pause(THEN_EVERY_S if admitted_s else LOOK_EVERY_S)
