"""What a worker that died left on disk: a receipt the ledger never heard of, and the folder of its last
attempt.

A receipt counts from the moment it is on disk. Killed between that and `accept`, a worker leaves a job that
looks lost; run again it would end with two receipts. So the files are read before anything is returned to the
backlog.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from conductor.adapters.files.receipt_log import FileReceiptLog, superseded
from conductor.base.files.paths import KEPT
from conductor.base.logs.events import emit_event
from conductor.model.ledger_entries import WorkerTurn
from conductor.model.receipt import MOST_UNHEARD, Receipt
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.ports import Ledger

#: The last receipts of a file are looked for in so much of its end first.
TAIL_BYTES = 1 << 18

_decoder = msgspec.json.Decoder(Receipt)


def settle(
    ledger: Ledger, log: FileReceiptLog, taken_back: Collection[tuple[str, str]] = ()
) -> tuple[Receipt, ...]:
    """Hand in what the dead writer of `log` could not; its last receipts, oldest first.

    Raises `Unreachable`, `OSError`.

    A worker hands in no more than `MOST_UNHEARD` at a time, so only so many of its last lines can be unheard
    of; to hand in one twice does no harm. Where another attempt was accepted meanwhile, the line is taken
    back, as the worker itself would have done. `taken_back`: (job id, body) of those that were already.
    """
    last = last_receipts(log.file)
    gone = {(r.job_id, r.body) for r in last if r.takes_back}.union(taken_back)
    done = tuple(r for r in last if r.is_whole and (r.job_id, r.body) not in gone)
    if not done:
        return last
    turned = ledger.attempts.turn(
        WorkerTurn(worker=log.file.stem, queue="", lease_s=1.0, number="", done=done)
    )
    for receipt, answer in zip(done, turned.answers, strict=True):
        if answer == "already":
            log.append(msgspec.structs.replace(receipt, outcome="superseded"))
            words = "Taken back: the receipt of {about} ({}) attempt {attempt}, another came first"
            line = ledger.jobs.lines([receipt.job_id]).get(receipt.job_id, b"")
            emit_event("receipt.taken_back", words, receipt.job_id[:SHORT_ID], job_id=receipt.job_id,
                       attempt=receipt.attempt, task=receipt.task,
                       about=subject_of_line(line, receipt.task))  # fmt: skip
    return last


def settle_all(ledger: Ledger, folder: Path, node: str) -> Iterator[Receipt]:
    """As `settle`, for every writer of this node: its workers died while nobody watched over them."""
    files = sorted(folder.glob(f"{node}-*.jsonl")) if folder.is_dir() else []
    taken_back = {(r.job_id, r.body) for r in superseded(folder)} if files else set[tuple[str, str]]()
    for file in files:
        log = FileReceiptLog(folder, file.stem)
        try:
            yield from settle(ledger, log, taken_back)
        finally:
            log.close()


def last_receipts(file: Path) -> tuple[Receipt, ...]:
    """The last whole lines, oldest first; what a crash cut short was never acted upon."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL_BYTES))
            found = _last_of(stream.read())
            if len(found) < MOST_UNHEARD and size > TAIL_BYTES:
                stream.seek(0)
                found = _last_of(stream.read())
            return tuple(reversed(found))
    except FileNotFoundError:
        return ()


def _last_of(raw: bytes) -> list[Receipt]:
    found: list[Receipt] = []
    for line in reversed(raw.split(b"\n")[:-1]):
        if len(found) == MOST_UNHEARD:
            break
        try:
            found.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found


def sweep(roots: Iterable[Path], job_id: str, attempt: int) -> None:
    """Remove the folders of an attempt that is over. Output that is kept for a later publishing stays
    where it is.
    """
    name = f"{job_id}.{attempt}"
    folders = [
        folder for root in roots for word in (name, f"{name}.*") for folder in (root / ".tmp").glob(word)
    ]
    if not any((folder / KEPT).exists() for folder in folders):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
