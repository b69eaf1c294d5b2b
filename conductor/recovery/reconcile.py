"""What receipts prove and the ledger missed: a worker killed before its `accept`, a Redis that lost its last
second.

Only the ends of files written to lately are read; all of them lie on this host, or in a folder that hosts
share.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from conductor.adapters.files.receipt_log import accepted
from conductor.base.logs.events import emit_event
from conductor.model.ledger_entries import JobState, WorkerTurn
from conductor.model.receipt import Outcome, Receipt
from conductor.model.snapshot import Reservation
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.ports import Ledger
from conductor.record.open_reviews import open_reviews
from conductor.recovery.verdicts import say_again

#: A Redis that syncs once a second may come back without the last of them; this much is looked through, and
#: some.
LOST_S = 5.0
#: Receipts carry their host's clock, reservations that of Redis.
CLOCKS_S = 300.0
BLOCK_BYTES = 1 << 16
#: Handed in together.
AT_ONCE = 200
#: Of these so many are told one by one.
FEW = 5
SAY_EVERY_S = 1.0

#: In these states the ledger has heard of it.
ENDS: dict[Outcome, tuple[JobState, ...]] = {"ok": ("done",), "review": ("done", "review")}

_decode = msgspec.json.Decoder(Receipt).decode


def proved(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """Job → the receipt that proves it done, or that asks for a person's verdict on what it made."""
    bodies = [receipt for receipt in receipts if receipt.outcome != "failed" or receipt.takes_back]
    return {**open_reviews(bodies), **accepted(bodies)}


class Reconciler:
    """Hands in what is proved. Every step is the ledger's own `accept`, so doing it twice is doing it
    once.
    """

    def __init__(self, ledger: Ledger, receipts_dir: Path) -> None:
        self._ledger = ledger
        self._folder = receipts_dir

    def catch_up(self) -> int:
        """When the lead is taken, or Redis is back: nothing is run in vain whose receipt is there. How
        many it was.
        """
        active = self._ledger.handover.reservations()
        proofs = self._proofs(active)
        newest = max((receipt.told_at for receipt in proofs), default=0.0)
        ids = {r.job_id for r in active} | {r.job_id for r in proofs if r.told_at >= newest - LOST_S}
        return self._hand_in([receipt for job_id, receipt in proved(proofs).items() if job_id in ids])

    def take_in(self, heard_at: float) -> int:
        """All that receipts prove since a leader was heard last (epoch seconds by the ledger's clock; 0:
        never): a ledger that stepped back may have heard of it and forgotten. The highest number of an
        attempt they tell of."""
        receipts = lately(self._folder, heard_at - CLOCKS_S)
        count = self._hand_in([*proved(receipts).values()])
        say_again(self._ledger, receipts)
        if receipts:
            words = "Read the receipts that Redis may have missed: {receipts}; {jobs} more jobs are done"
            emit_event("receipts.taken_in", words, receipts=len(receipts), jobs=count)
        return max((receipt.attempt for receipt in receipts), default=0)

    def settled(self, orphans: Collection[Reservation]) -> frozenset[str]:
        """Those whose receipt is on disk: they are accepted instead of run again."""
        ids = {orphan.job_id for orphan in orphans}
        proofs = proved(receipt for receipt in self._proofs(orphans) if receipt.job_id in ids)
        self._hand_in([*proofs.values()])
        return frozenset(proofs)

    def _proofs(self, active: Iterable[Reservation]) -> list[Receipt]:
        """Ok and superseded receipts since the eldest of these was admitted; of the last seconds in any
        case.
        """
        try:
            files = (
                [(f.stat().st_mtime, f) for f in self._folder.glob("*.jsonl")]
                if self._folder.is_dir()
                else []
            )
            newest = max((written_at for written_at, _ in files), default=0.0)
            since = min([newest - LOST_S, *(r.admitted_at - CLOCKS_S for r in active)])
            lately = sorted(file for written_at, file in files if written_at >= since)
            return [
                r
                for file in lately
                for r in receipts_since(file, since)
                if r.outcome != "failed" or r.takes_back
            ]
        except OSError as e:
            words = "Receipts in {file} cannot be read ({error}): what they prove may be run again"
            emit_event("receipts.not_read", words, file=str(self._folder), error=str(e))
            return []

    def _hand_in(self, proofs: Sequence[Receipt]) -> int:
        """How many jobs are done by them that were not. Silent for a second at most: nothing is started
        meanwhile.
        """
        count, wait = 0, Wait()
        for first in range(0, len(proofs), AT_ONCE):
            wait.say(first, len(proofs))
            count += self._hand_in_some(proofs[first : first + AT_ONCE])
        return count

    def _hand_in_some(self, proofs: Sequence[Receipt]) -> int:
        states = self._ledger.jobs.states([receipt.job_id for receipt in proofs])
        done = tuple(r for r in proofs if states.get(r.job_id, "done") not in ENDS[r.outcome])
        if not done:
            return 0
        turned = self._ledger.attempts.turn(
            WorkerTurn(worker="", queue="", lease_s=1.0, number="", done=done)
        )
        news = [r for r, answer in zip(done, turned.answers, strict=True) if answer == "accepted"]
        lines = self._ledger.jobs.lines([receipt.job_id for receipt in news[:FEW]]) if news else {}
        for receipt in news[:FEW]:
            about = subject_of_line(lines.get(receipt.job_id, b""), receipt.task)
            emit_event("job.proved", "Done by its receipt: {about} ({}) attempt {attempt}",
                       receipt.job_id[:SHORT_ID], job_id=receipt.job_id, attempt=receipt.attempt,
                       task=receipt.task, about=about)  # fmt: skip
        if len(news) > FEW:
            emit_event("jobs.proved", "Done by their receipts: {jobs} more jobs", jobs=len(news) - FEW)
        return len(news)


class Wait:
    """Nothing is started meanwhile: who waits for the first job hears every second how far it is."""

    def __init__(self) -> None:
        self._say_at = time.monotonic() + SAY_EVERY_S

    def say(self, receipts: int, total: int | None = None) -> None:
        """`total`: where it is known how many there are."""
        if time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + SAY_EVERY_S
            if total is None:
                emit_event("receipts.being_read",
                           "Reading receipts before anything is started: {receipts} so far",
                           receipts=receipts)  # fmt: skip
            else:
                words = "Taking in receipts before anything is started: {receipts} of {total}"
                emit_event("receipts.being_taken_in", words, receipts=receipts, total=total)


def lately(folder: Path, since: float) -> list[Receipt]:
    """All that ended since then. Raises `OSError`: without them nothing is known."""
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    found: list[Receipt] = []
    wait = Wait()
    for receipt in (
        r for file in files if file.stat().st_mtime >= since for r in receipts_since(file, since)
    ):
        found.append(receipt)
        wait.say(len(found))
    return found


def receipts_since(file: Path, since: float) -> Iterator[Receipt]:
    """The receipts at the end of a file, from the first one on that did not end before `since` or lies
    near it.
    """
    size, length = file.stat().st_size, BLOCK_BYTES
    while True:
        found = list(_whole(file, max(0, size - length)))
        if length >= size or (found and found[0].told_at < since):
            yield from (receipt for receipt in found if receipt.told_at >= since)
            return
        length *= 4


def _whole(file: Path, start: int) -> Iterator[Receipt]:
    with file.open("rb") as stream:
        # One byte earlier: a line that begins exactly there is whole.
        stream.seek(max(0, start - 1))
        if start:
            stream.readline()
        for line in stream:
            try:
                yield _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # `audit` and `verify` say so; here only what is whole proves anything
