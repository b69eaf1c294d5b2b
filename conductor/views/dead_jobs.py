"""The dead: how many of which cause, those that died of themselves apart from those behind them, and the
first few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from conductor.base.text import printable
from conductor.model.ledger_entries import JobView
from conductor.model.spec import Value, from_line
from conductor.model.subject import SHORT_ID, file_of_line, named
from conductor.ports import Ledger

SHOWN_DEAD = 8
BEHIND = "dependency_dead"


class DeadJobs(Value, frozen=True, kw_only=True):
    """A dead job and why."""

    job_id: str
    task: str
    cause: str
    message: str
    #: The name of the file that it is about; empty: it names none.
    file: str = ""


def obituaries(
    ledger: Ledger, backlog: str | None = None, known: Collection[str] = ()
) -> tuple[DeadJobs, ...]:
    """The first few of those that died of themselves and are not `known`; all others died for their sake."""
    return tuple(
        DeadJobs(
            job_id=view.job_id,
            task=from_line(view.line).task,
            cause=view.cause or "unknown",
            message=view.message,
            file=file_of_line(view.line),
        )
        for view in islice(_own_dead(ledger, backlog, known), SHOWN_DEAD)
    )


def _own_dead(ledger: Ledger, backlog: str | None, known: Collection[str]) -> Iterator[JobView]:
    for job_id in ledger.jobs.died(backlog):
        view = None if job_id in known else ledger.jobs.job(job_id)
        if view is not None and view.state == "dead":
            yield view


def meanwhile(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What came to each cause."""
    return {cause: n - before.get(cause, 0) for cause, n in now.items() if n > before.get(cause, 0)}


def still(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What is left of each cause."""
    return {cause: min(n, now[cause]) for cause, n in before.items() if now.get(cause)}


def counted(causes: Mapping[str, int]) -> str:
    """«2 task_error, 1 timeout; and 10000 dependency_dead, behind these»."""
    own = ", ".join(f"{n} {cause}" for cause, n in causes.items() if cause != BEHIND)
    behind = causes.get(BEHIND, 0)
    if not own:
        return f"{behind} {BEHIND}, behind jobs that were cancelled, or died before"
    return own + (f"; and {behind} {BEHIND}, behind these" if behind else "")


def dead_lines(dead: Collection[DeadJobs]) -> list[str]:
    """«media.cut · clip7.mp4 (k3v7abcd): task_error: RuntimeError: …», a line each."""
    return [
        printable(f"  {named(o.task, o.file)} ({o.job_id[:SHORT_ID]}): {o.cause}: {o.message}") for o in dead
    ]
