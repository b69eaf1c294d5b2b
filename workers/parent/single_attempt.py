"""One attempt in this process, with a child of its own: for RQ's records, and for `conductor exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.parent.driver import Flow
from workers.parent.wiring import own_parts

if TYPE_CHECKING:
    from conductor.model.receipt import Receipt
    from workers.isolation.stop_signals import Stopping

NOT_ITS_TURN = "not its turn"


def run_attempt(job_id: str, attempt: int, stopping: Stopping | None = None) -> str:
    """The outcome, or «not its turn». `stopping`: of a process that is there for nothing else, and heeds
    signals."""
    ends: list[Receipt] = []
    with own_parts(stopping) as parts:
        Flow(parts, on_end=ends.append, in_hand=[(job_id, attempt)]).work()
    return ends[0].outcome if ends else NOT_ITS_TURN
