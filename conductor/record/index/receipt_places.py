"""The receipts of one job, read where the index says that they stand, and behind what it has read.

The index may lag, or be of files that are not the same any more: what it says is taken where each file still
has the mark of what was read of it, and everything behind that place is searched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from conductor.adapters.files.archives import FOLDER as ARCHIVES
from conductor.adapters.files.archives import PACKED, header_of, unpacked
from conductor.adapters.files.receipt_log import SUFFIX, receipt_at, receipts_behind
from conductor.model.receipt import Receipt
from conductor.record.index.sources import is_same

#: Name of a file → how far it was read, and the mark of that.
Known = Mapping[str, tuple[int, str]]


class ReceiptPlaces(NamedTuple):
    """`of_job`: file → where lines begin."""

    known: Known
    of_job: Mapping[str, Sequence[int]]


def places_by_index(conn: sqlite3.Connection, job_id: str) -> ReceiptPlaces:
    known = {name: (at, mark) for name, at, mark in conn.execute("SELECT name, at, mark FROM source")}
    statement = "SELECT source, place FROM attempt WHERE n = (SELECT n FROM job WHERE id = ?) ORDER BY place"
    places: dict[str, list[int]] = {}
    for source, place in conn.execute(statement, (job_id,)):
        places.setdefault(source, []).append(place)
    return ReceiptPlaces(known, places)


def receipts_at(folder: Path, job_id: str, by_index: ReceiptPlaces) -> tuple[Receipt, ...] | None:
    """None: the index is of other files than there are, and all has to be searched."""
    known, places = by_index.known, dict(by_index.of_job)
    try:
        found = [
            receipt
            for file in _files(folder)
            for receipt in _of_file(file, job_id, places.pop(file.name, ()), known)
        ]
    except (OSError, msgspec.DecodeError, _Changed):
        return None
    return None if places else tuple(found)


class _Changed(Exception):
    """A file is not the one that was read."""


def _files(folder: Path) -> list[Path]:
    """First the archives: what is moved meanwhile is met twice rather than not at all."""
    archives = sorted((folder / ARCHIVES).glob(f"*{SUFFIX}{PACKED}"))
    return [*archives, *sorted(folder.glob(f"*{SUFFIX}"))]


def _of_file(file: Path, job_id: str, places: Sequence[int], known: Known) -> Iterator[Receipt]:
    if file.name.endswith(PACKED):
        if file.name in known and not places:
            return
        with unpacked(file) as lines:
            yield from _at(lines, job_id, places) if file.name in known else receipts_behind(lines, job_id)
        return
    with file.open("rb") as lines:
        at, mark = known.get(file.name, (0, ""))
        if not is_same(lines.fileno(), at, mark) or _has_news(lines, known):
            raise _Changed
        yield from _at(lines, job_id, places)
        yield from receipts_behind(lines, job_id, at)


def _has_news(lines: BinaryIO, known: Known) -> bool:
    """Lines were taken out of it into an archive that the index has not read."""
    return any(part.file not in known for part in header_of(lines.fileno())[0])


def _at(lines: BinaryIO, job_id: str, places: Sequence[int]) -> Iterator[Receipt]:
    for place in places:
        receipt = receipt_at(lines, place)
        if receipt.job_id != job_id:
            raise _Changed
        yield receipt
