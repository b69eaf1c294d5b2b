"""What failures taught of needs is taken back: the jobs ask what their lines say, and the journal keeps
the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from conductor.adapters.files.receipt_log import read_receipts
from conductor.core.needs.escalation import as_planned, instead
from conductor.core.needs.learned_amounts import RAN_OUT_OF
from conductor.core.needs.samples import Forgotten
from conductor.model.ledger_entries import JobView
from conductor.model.spec import Value
from conductor.ports import Ledger
from conductor.record.journal import Journal
from conductor.record.journal_notes import Note


class Asks(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One job. `changes`: «asks 20.0 GiB of VRAM instead of 23.5 GiB»; empty: it is in flight, and is asked
    for as planned once it is tried again."""

    job_id: str
    task: str
    changes: tuple[str, ...] = ()


def forget(ledger: Ledger, receipts_dir: Path, jobs: Iterable[JobView], task: str = "") -> tuple[Asks, ...]:
    """`jobs`: whose raised needs are forgotten. `task`: that task's (or kind's) samples until now teach
    nothing more.

    The journal first: a conductor that learns meanwhile must not learn it again. Raises `ConfigError`,
    `Unreachable`.
    """
    views = list(jobs)
    Journal(receipts_dir).forgot({view.job_id: view.attempts for view in views}, task)
    found: list[Asks] = []
    for view in views:
        if (asks := as_lines_ask(ledger, view)) is not None:
            found.append(asks)
    ledger.bell.ring()
    return tuple(found)


def as_lines_ask(ledger: Ledger, view: JobView) -> Asks | None:
    """One job asks what its line says; None where it does already."""
    planned = as_planned(view.job_class)
    if planned is view.job_class:
        return None
    is_moved = ledger.commands.reclass(view.job_id, planned)
    changes = tuple(instead(view.job_class.needs, planned.needs)) if is_moved else ()
    return Asks(job_id=view.job_id, task=view.job_class.task, changes=changes)


def raised_jobs(ledger: Ledger, receipts_dir: Path, name: str) -> Iterator[JobView]:
    """Jobs of the task or kind that ran out of something, as their receipts tell."""
    seen: set[str] = set()
    for receipt in read_receipts(receipts_dir):
        if receipt.cause not in RAN_OUT_OF or receipt.job_id in seen:
            continue
        if name in (receipt.task, receipt.asked and receipt.asked.kind):
            seen.add(receipt.job_id)
            view = ledger.jobs.job(receipt.job_id)
            if view is not None and view.state != "done":
                yield view


def forgotten(notes: Iterable[Note]) -> Forgotten:
    """What the operator said is to be forgotten, the last word on each."""
    jobs: dict[str, int] = {}
    tasks: dict[str, float] = {}
    for note in notes:
        if note.what == "forgot":
            jobs.update(note.ids)
            if note.kind:
                tasks[note.kind] = max(note.at, tasks.get(note.kind, 0.0))
    return Forgotten(jobs, tasks)
