"""A person's word on what a job shows, from whatever door it comes.

The order bears a kill at any point. First the ledger keeps the word: of two people the first one's stands,
and the second is told. Then it is on disk: a line by itself while other items are open, and with the last of
them the receipt that ends the review. Then the job goes on. Whoever judges next goes on from there.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from conductor.adapters.files.receipt_log import FileReceiptLog, receipts_of
from conductor.base.errors import ConductorError, UsageError
from conductor.base.logs.events import emit_event
from conductor.base.text import many, printable
from conductor.model.ledger_entries import JobState, JobView
from conductor.model.receipt import Receipt
from conductor.model.review import MOST_WORDS, ItemVerdict, OpenReview, rejection_words
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.ports import Ledger


class VerdictTaken(Value, frozen=True, kw_only=True, omit_defaults=False):
    """`taken`: so many items were judged by this word; `left`: so many are open. `state`: of the job now."""

    job_id: str
    taken: int = 0
    left: int = 0
    state: JobState | None = None
    #: Why nothing, or not all of it, was taken: who came first, or what the job is.
    kept: str = ""


class ReviewDesk:
    """Takes verdicts; threads may share it. Its receipts go to a file of its own."""

    def __init__(self, ledger: Ledger, receipts_dir: Path) -> None:
        self._ledger = ledger
        self._folder = receipts_dir
        self._lock = threading.Lock()
        self._log: FileReceiptLog | None = None

    def judge(
        self, job: JobView, is_accepted: bool, who: str, note: str = "", items: Sequence[int] = ()
    ) -> VerdictTaken:
        """`items`: numbers from 1; none: all that are open. Raises `UsageError` for a number that is none,
        `Unreachable`, `OSError`; then the same word may be said again."""
        found = self._ledger.reviews.asked([job.job_id])
        if not found:
            return VerdictTaken(job_id=job.job_id, state=job.state, kept=self._why_none(job))
        review = found[0]
        said = words_on(review, is_accepted, who, note, items)
        bodies = self._ledger.reviews.judge(job.job_id, review.body, said)
        if bodies is None:
            now = self._ledger.jobs.job(job.job_id) or job
            return VerdictTaken(job_id=job.job_id, state=now.state, kept=self._why_none(now))
        mine = [verdict for verdict in said if verdict in bodies]
        review = replace(review, verdicts=bodies)
        self._put_down(job, review, mine)
        late = [v for v in bodies if v.item in {other.item for other in said} and v not in said]
        state = self._ledger.jobs.states([job.job_id]).get(job.job_id)
        return VerdictTaken(
            job_id=job.job_id,
            taken=len(mine),
            left=0 if review.is_over else len(review.open_items),
            state=state,
            kept=late_words(late),
        )

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    # ── on disk ───────────────────────────────────────────────────────────────────────────────────────────

    def _put_down(self, job: JobView, review: OpenReview, mine: Sequence[ItemVerdict]) -> None:
        asking, end = self._receipts(review)
        if not review.is_over:
            if mine:
                self._append(replace(bare(asking), outcome="verdict", verdicts=tuple(mine)))
            return
        if end is None:
            end = ending(asking, review)
            self._append(end)
        finish(self._ledger, end)
        word = verdict_word(end)
        who = review.verdicts[-1].who if end.outcome == "ok" else rejection_words(review.verdicts)
        emit_event("job.judged", "A person {what} {about} ({}): {who}", end.job_id[:SHORT_ID], what=word,
                   job_id=end.job_id, attempt=end.attempt, task=end.task, who=who,
                   about=subject_of_line(job.line, end.task))  # fmt: skip

    def _receipts(self, review: OpenReview) -> tuple[Receipt, Receipt | None]:
        """The one that asks, and the one that ends it, where somebody was interrupted behind it."""
        theirs = [r for r in receipts_of(self._folder, review.job_id) if r.body == review.body]
        asking = next((r for r in theirs if r.outcome == "review"), None)
        end = next((r for r in theirs if r.is_repeated and r.outcome in ("ok", "failed")), None)
        if asking is None:
            raise ConductorError(
                f"the receipt by which {review.job_id} asks for a verdict is not on disk: "
                f"`conductor cancel {review.job_id[:12]}`, then `conductor retry` makes it again"
            )
        return asking, end

    def _append(self, receipt: Receipt) -> None:
        with self._lock:
            if self._log is None:
                host = socket.gethostname()
                self._log = FileReceiptLog(
                    self._folder, f"review-{host}-{os.getpid()}-{secrets.token_hex(3)}"
                )
            self._log.append(receipt)

    def _why_none(self, job: JobView) -> str:
        if job.state == "review":
            return "it was set aside with its kind, and shows nothing: `conductor retry` sends it back"
        ends = [r for r in receipts_of(self._folder, job.job_id) if r.is_repeated and r.outcome != "verdict"]
        last = max(ends, key=lambda r: r.told_at, default=None)
        if last is None or job.state not in ("done", "dead"):
            return f"it is {job.state}, and waits for no verdict"
        who = ", ".join(dict.fromkeys(verdict.who for verdict in last.verdicts))
        return f"{who} {verdict_word(last)} it already"


def words_on(
    review: OpenReview, is_accepted: bool, who: str, note: str, items: Sequence[int]
) -> tuple[ItemVerdict, ...]:
    """Raises `UsageError`."""
    total = len(review.asked.items)
    for item in items:
        if not 1 <= item <= total:
            raise UsageError(f"{review.job_id} shows {many(total, 'item')}: there is no item {item}")
    now = time.time()
    return tuple(
        ItemVerdict(item=item, is_accepted=is_accepted, who=who, at=now, note=note.strip()[:MOST_WORDS])
        for item in (dict.fromkeys(items) or review.open_items)
    )


def late_words(late: Sequence[ItemVerdict]) -> str:
    if not late:
        return ""
    verb = "accepted" if late[0].is_accepted else "rejected"
    more = f", and {many(len(late) - 1, 'more item')}" if len(late) > 1 else ""
    return printable(f"{late[0].who} {verb} item {late[0].item} already{more}: the first word stands")


def bare(receipt: Receipt) -> Receipt:
    """Without what the line that asks has said: for a line that only has a word to add."""
    plain = replace(receipt, outputs=(), media={}, result={}, review=None, message="")
    return replace(plain, left_running=(), beyond="")


def ending(asking: Receipt, review: OpenReview) -> Receipt:
    """What the verdicts make of it."""
    if not review.is_rejected:
        return replace(asking, outcome="ok", verdicts=review.verdicts)
    return replace(
        bare(asking),
        outcome="failed",
        cause="rejected",
        message=rejection_words(review.verdicts),
        is_lasting=True,
        verdicts=review.verdicts,
    )


def verdict_word(end: Receipt) -> str:
    """«judged»: a task that goes on either way is done with items that a person turned down."""
    if end.outcome != "ok":
        return "rejected"
    return "accepted" if all(verdict.is_accepted for verdict in end.verdicts) else "judged"


def finish(ledger: Ledger, end: Receipt) -> bool:
    """`end` is on disk. Was it news to the ledger."""
    if end.outcome == "ok":
        return ledger.attempts.accept(end) == "accepted"
    return ledger.reviews.reject(end.job_id, end.body, end.cause or "rejected", end.message)


def say_again(ledger: Ledger, receipts: Iterable[Receipt]) -> int:
    """What a ledger that stepped back may have forgotten of verdicts: words on single items, and rejections.
    How many jobs it turned down once more. What was accepted is proved by its receipt like all else."""
    count = 0
    for receipt in receipts:
        if receipt.outcome == "verdict":
            ledger.reviews.judge(receipt.job_id, receipt.body, receipt.verdicts)
        elif receipt.outcome == "failed" and receipt.verdicts:
            count += finish(ledger, receipt)
    return count
