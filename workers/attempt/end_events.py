"""The events of attempts that ended well, and of what their results tell beside."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.base.logs.events import emit_event
from conductor.model.receipt import Receipt
from conductor.model.subject import SHORT_ID
from conductor.model.told_result import fallbacks_of, found_of, frames_of


def tell_ended(ends: Sequence[tuple[Receipt, str, str]]) -> None:
    """`ends`: each receipt, what it is about, and the ledger's answer to it."""
    for r, about, _ in ends:
        if r.review is not None:
            emit_event("job.review", "In review: {about} ({}): {items} to look at (`conductor review`)",
                       r.job_id[:SHORT_ID], job_id=r.job_id, attempt=r.attempt, task=r.task,
                       about=about, items=len(r.review.items))  # fmt: skip
        for fallback in fallbacks_of(r.result, r.devices):
            emit_event("engine.fallback", "{about} ({}) ran on {to_engine} instead of {from_engine}: {why}",
                       r.job_id[:SHORT_ID], job_id=r.job_id, task=r.task, about=about,
                       from_engine=fallback.from_engine, to_engine=fallback.to_engine,
                       why=fallback.why)  # fmt: skip
    over = [end for end in ends if end[0].review is None]
    if len(over) == 1:
        r, about, answer = over[0]
        emit_event("job.done", "Done: {about} ({}) in {seconds:.2f} s{}", r.job_id[:SHORT_ID],
                   "" if answer == "accepted" else f" ({answer})", job_id=r.job_id, attempt=r.attempt,
                   task=r.task, about=about, seconds=r.seconds, answer=answer, waited=r.waited_s or 0.0,
                   checked=r.checked_s, frames=frames_of(r.result), found=found_of(r.result))  # fmt: skip
    elif over:
        _tell_many([receipt for receipt, _, _ in over])


def _tell_many(receipts: Sequence[Receipt]) -> None:
    emit_event("jobs.done", "Done: {jobs} jobs of {task} in {seconds:.2f} s", jobs=len(receipts),
               task=", ".join(sorted({r.task for r in receipts})), seconds=sum(r.seconds for r in receipts),
               job_ids=[r.job_id for r in receipts], waited=sum(r.waited_s or 0.0 for r in receipts),
               checked=sum(r.checked_s for r in receipts), frames=sum(frames_of(r.result) for r in receipts),
               found=sum(found_of(r.result) for r in receipts))  # fmt: skip
