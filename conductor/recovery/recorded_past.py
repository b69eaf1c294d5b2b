"""What receipts and the operator's words say of the jobs of some manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import accepted, read_receipts
from conductor.core.failures.history import Failure
from conductor.core.needs.learned_amounts import RAN_OUT_OF
from conductor.model.receipt import Receipt, Usage
from conductor.record.journal import settled_by_operator
from conductor.record.journal_notes import Note
from conductor.record.open_reviews import OpenReviews
from conductor.recovery.forget_needs import forgotten


class RecordedPast(Struct, frozen=True, kw_only=True):
    """Job → what is known of it."""

    accepted: Mapping[str, Receipt]
    highest: Mapping[str, int]
    failed: Mapping[str, Sequence[Failure]]
    forgiven: Mapping[str, int]
    cancelled: Mapping[str, int]
    forgotten: Mapping[str, int]
    #: Job → the receipt that asks for a person's verdict, with what was said so far.
    shown: Mapping[str, Receipt] = {}


def past_of(receipts_dir: Path, wanted: set[str], notes: Sequence[Note]) -> RecordedPast:
    highest: dict[str, int] = {}
    failed: dict[str, list[Failure]] = {}

    reviews = OpenReviews()

    def theirs() -> Iterator[Receipt]:
        for receipt in read_receipts(receipts_dir):
            if receipt.job_id not in wanted:
                continue
            reviews.add(receipt)
            highest[receipt.job_id] = max(receipt.attempt, highest.get(receipt.job_id, 0))
            if receipt.outcome == "failed":
                failed.setdefault(receipt.job_id, []).append(failure_of(receipt))
            else:
                yield receipt

    proofs = accepted(theirs())
    forgiven, cancelled = settled_by_operator(notes)
    settled = {id_: max(forgiven.get(id_, 0), cancelled.get(id_, 0)) for id_ in (*forgiven, *cancelled)}
    return RecordedPast(
        accepted=proofs,
        highest=highest,
        failed=failed,
        forgiven=forgiven,
        cancelled=cancelled,
        forgotten=forgotten(notes).jobs,
        shown=reviews.found(settled),
    )


def failure_of(receipt: Receipt) -> Failure:
    cause = receipt.cause or "task_error"
    if cause not in RAN_OUT_OF:  # the rest teaches nothing, and there may be very many
        receipt = replace(receipt, usage=Usage(), asked=None)
    return Failure(
        receipt.attempt,
        cause,
        receipt.message,
        receipt.ended_at,
        receipt.usage,
        receipt.asked,
        is_lasting=receipt.is_lasting,
        is_free=receipt.is_free,
    )
