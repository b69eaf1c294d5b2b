"""`run_job`, the one function that RQ's records name: one attempt, run by a stock RQ worker or by hand."""

from __future__ import annotations


def run_job(job_id: str, attempt: int) -> str:
    """Run one attempt in this process, with a child of its own.

    Returns what RQ may show as the result: the outcome, or «not its turn».
    """
    # Late: whoever looks at a queue imports this module to know the name, and needs nothing of a worker.
    from workers.parent.single_attempt import run_attempt

    return run_attempt(job_id, attempt)
