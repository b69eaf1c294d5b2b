"""What a worker that died left on disk: a receipt the ledger never heard of, and the folder of its last attempt.

A receipt counts from the moment it is on disk. Killed between that and `accept`, a worker leaves a job that looks
lost; run again it would end with two receipts. So the files are read before anything is returned to the backlog.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from loguru import logger

from conductor.adapters.receipt_log import ReceiptLog, read_receipts
from conductor.model.receipt import Receipt
from conductor.paths import KEPT
from conductor.ports import Ledger

#: The last receipt of a file is looked for in so much of its end first.
TAIL_BYTES = 1 << 16
_SUPERSEDED = re.compile(rb'"outcome":"superseded"')

_decoder = msgspec.json.Decoder(Receipt)


def settle(ledger: Ledger, log: ReceiptLog) -> Receipt | None:
    """Hand in what the dead writer of `log` could not; its last receipt, or None. Raises `Unreachable`, `OSError`.

    A worker does one attempt at a time, so only its last line can be unheard of. Where another attempt was accepted
    meanwhile, the line is taken back, as the worker itself would have done.
    """
    last = last_receipt(log.file)
    if last is not None and last.outcome == "ok":
        answer = ledger.attempts.accept(last)
        if answer == "already":
            log.append(msgspec.structs.replace(last, outcome="superseded"))
            logger.info("Taken back: the receipt of {} attempt {}, another came first", last.job_id, last.attempt)
    return last


def settle_all(ledger: Ledger, folder: Path, node: str) -> Iterator[Receipt]:
    """As `settle`, for every writer of this node: its workers died while nobody watched over them."""
    files = sorted(folder.glob(f"{node}-*.jsonl")) if folder.is_dir() else []
    taken_back = {(r.job_id, r.attempt) for r in superseded(folder)} if files else set[tuple[str, int]]()
    for file in files:
        last = last_receipt(file)
        if last is not None and (last.outcome != "ok" or (last.job_id, last.attempt) in taken_back):
            yield last
            continue
        log = ReceiptLog(folder, file.stem)
        try:
            if (settled := settle(ledger, log)) is not None:
                yield settled
        finally:
            log.close()


def superseded(folder: Path) -> Iterator[Receipt]:
    """Only what was taken back: the other lines are not even decoded."""
    if any(_SUPERSEDED.search(file.read_bytes()) for file in folder.glob("*.jsonl")):
        yield from (receipt for receipt in read_receipts(folder) if receipt.outcome == "superseded")


def last_receipt(file: Path) -> Receipt | None:
    """The last whole line; what a crash cut short was never acted upon."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL_BYTES))
            found = _last_of(stream.read())
            if found is None and size > TAIL_BYTES:
                stream.seek(0)
                found = _last_of(stream.read())
            return found
    except FileNotFoundError:
        return None


def _last_of(raw: bytes) -> Receipt | None:
    for line in reversed(raw.split(b"\n")[:-1]):
        try:
            return _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return None


def sweep(roots: Iterable[Path], job_id: str, attempt: int) -> None:
    """Remove the folders of an attempt that is over. Output that is kept for a later publishing stays where it is."""
    folders = [root / ".tmp" / f"{job_id}.{attempt}" for root in roots]
    if not any((folder / KEPT).exists() for folder in folders):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
