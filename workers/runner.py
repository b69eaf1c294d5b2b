"""`run_job`, the one function that RQ's records name: one attempt, run by a stock RQ worker or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor.model.receipt import Receipt


def run_job(job_id: str, attempt: int) -> str:
    """Run one attempt in this process, with a child of its own.

    Returns what RQ may show as the result: the outcome, or «not its turn».
    """
    # Late: whoever looks at a queue imports this module to know the name, and needs nothing of a worker.
    from workers.parent.driver import Flow
    from workers.parent.wiring import own_parts

    ends: list[Receipt] = []
    with own_parts() as parts:
        Flow(parts, on_end=ends.append, in_hand=[(job_id, attempt)]).work()
    return ends[0].outcome if ends else "not its turn"
