"""Receipts on disk: one append-only JSONL file per writer, durable before `append` returns, merged by the
reader.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from conductor.adapters.files.append_only import AppendOnly
from conductor.adapters.files.archives import MARK, PACKED, streams, unpacked
from conductor.model.receipt import Receipt

SUFFIX = ".jsonl"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Receipt)

#: file, line number, what is wrong with it.
OnBad = Callable[[Path, int, str], None]


class FileReceiptLog:
    """The file `FOLDER/WRITER.jsonl`. One process writes it; any number may read."""

    def __init__(self, folder: Path, writer_name: str) -> None:
        self.folder = folder
        self.file = folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", writer_name) + SUFFIX)
        self._lines = AppendOnly(self.file)

    def append(self, receipt: Receipt) -> None:
        """Write one line and have it on disk. Raises `OSError`; a later append repairs what a failed one
        left.

        That one opens the file anew: the disk may have been exchanged, a share mounted again.
        """
        self.extend((receipt,))

    def extend(self, receipts: Iterable[Receipt]) -> None:
        """Several lines at the price of one: they are on disk together. Raises as `append`, and then each
        may be.
        """
        self._lines.append(b"".join(_encoder.encode(receipt) + b"\n" for receipt in receipts))

    def look(self) -> None:
        """Now and then, where nothing is appended: what went with a folder that was cleared is written again.

        Raises nothing: the next look, or the next append, tries again."""
        try:
            self._lines.look()
        except OSError as e:
            _log_unmended(self.file, e)

    def read(self) -> Iterator[Receipt]:
        """The receipts of all writers of the folder."""
        return read_receipts(self.folder)

    def close(self) -> None:
        self._lines.close()


def read_receipts(folder: Path, on_bad: OnBad | None = None) -> Iterator[Receipt]:
    """Every receipt of `folder`, file by file in the order of names, each behind its archives; none when
    there is no such folder.

    A line that is not a whole receipt was cut by a crash: never acted upon, so it is passed over. `on_bad`
    hears of each, but for a last line without its newline, which may just be under way.
    """
    for file, lines in streams(folder, SUFFIX):
        yield from (receipt for _, receipt in _located(file, lines, on_bad or _log_bad))


def _located(file: Path, lines: BinaryIO, on_bad: OnBad) -> Iterator[tuple[int, Receipt]]:
    """Where each line begins, and the receipt."""
    at = 0
    for number, line in enumerate(lines, 1):
        begins, at = at, at + len(line)
        if not line.strip() or not line.endswith(b"\n") or line.startswith(MARK):
            continue
        try:
            receipt = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            on_bad(file, number, str(e))
            continue
        yield begins, receipt


class ReceiptFiles:
    """The files of a folder as they are now, to have a receipt of before by its place: read again, not
    kept.
    """

    #: A place is one number: which file, where the line begins. So many bits are for the latter (a TiB).
    BITS = 40

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[tuple[Path, int]] = []
        self._open: dict[int, BinaryIO] = {}

    def read(self) -> Iterator[tuple[int, Receipt]]:
        """Every receipt with its place, in the order of `read_receipts`."""
        for file, lines in streams(self._folder, SUFFIX):
            number = len(self._files)
            self._files.append((file, os.fstat(lines.fileno()).st_ino))
            for begins, receipt in _located(file, lines, _log_bad):
                yield (number << self.BITS) + begins, receipt

    def at(self, place: int) -> Receipt:
        """Raises `OSError` and `msgspec.DecodeError` where the file is not the one of before."""
        number, begins = place >> self.BITS, place & ((1 << self.BITS) - 1)
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = self._again(*self._files[number])
        return receipt_at(file, begins)

    def _again(self, path: Path, ino: int) -> BinaryIO:
        if path.name.endswith(PACKED):
            return unpacked(path)
        file = path.open("rb")
        if os.fstat(file.fileno()).st_ino != ino:
            file.close()
            raise OSError(f"{path} was exchanged while it was read (conductor rotate): call this again")
        return file

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}


def receipts_of(folder: Path, job_id: str) -> Iterator[Receipt]:
    """Of one job. The files are searched for its id; only the lines that have it are looked at."""
    for _, file in streams(folder, SUFFIX):
        yield from receipts_behind(file, job_id)


def receipts_behind(file: BinaryIO, job_id: str, place: int = 0) -> Iterator[Receipt]:
    """Of one job, from that place of one file on."""
    return (r for r in _with(file, f'"{job_id}"'.encode(), place) if r.job_id == job_id)


def receipt_at(file: BinaryIO, place: int) -> Receipt:
    """Raises `OSError`, and `msgspec.DecodeError` where no receipt begins there."""
    file.seek(place)
    return _decoder.decode(file.readline())


def receipts_naming(folder: Path, path: str) -> Iterator[Receipt]:
    """Those with `path` among their outputs, of whatever job. Searched as by `receipts_of`."""
    word = _encoder.encode(path)
    for _, file in streams(folder, SUFFIX):
        yield from (r for r in _with(file, word) if any(fact.path == path for fact in r.outputs))


def superseded(folder: Path) -> Iterator[Receipt]:
    """Those that say that an earlier one counts no more; the others are not even decoded."""
    for _, file in streams(folder, SUFFIX):
        yield from (r for r in _with(file, b'"outcome":"superseded"') if r.takes_back)
        yield from (r for r in _with(file, b'"cause":"rejected"') if r.takes_back)


def _with(file: BinaryIO, word: bytes, place: int = 0) -> Iterator[Receipt]:
    """The receipts of the lines in which `word` stands, from `place` on."""
    if os.fstat(file.fileno()).st_size <= place:
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        at = text.find(word, place)
        while at >= 0:
            begins, ends = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
            if ends < 0:
                return
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # Cut by a crash: no receipt.
                yield _decoder.decode(text[begins:ends])
            at = text.find(word, ends)


def _log_unmended(file: Path, error: OSError) -> None:
    from conductor.base.logs.events import emit_event

    words = "{file} is not there as it was written, and cannot be written again now: {error}"
    emit_event("receipts.not_mended", words, file=str(file), error=str(error))


def _log_bad(file: Path, number: int, fault: str) -> None:
    from conductor.base.logs.events import emit_event

    words = "{file}:{lines}: not a whole receipt, passed over: {error}"
    emit_event("receipts.not_whole", words, file=str(file), lines=number, error=fault)


def accepted(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """Job id → the receipt that counts: an `ok` not taken back by a `superseded` of the same body; the lowest
    attempt first, and of one attempt the body that ended first."""
    by_job: dict[str, dict[str, Receipt]] = {}
    taken_back: set[tuple[str, str]] = set()
    for receipt in receipts:
        if receipt.takes_back:
            taken_back.add((receipt.job_id, receipt.body))
        elif receipt.outcome == "ok":
            by_job.setdefault(receipt.job_id, {}).setdefault(receipt.body, receipt)
    best: dict[str, Receipt] = {}
    for job_id, bodies in by_job.items():
        valid = [receipt for body, receipt in bodies.items() if (job_id, body) not in taken_back]
        if valid:
            best[job_id] = min(valid, key=first_of)
    return best


def first_of(receipt: Receipt) -> tuple[int, float, str]:
    """By this the first of a job's valid receipts is the one that counts, wherever they are read."""
    return receipt.attempt, receipt.ended_at, receipt.token
