"""What is lost between two jobs: from the end of one to the start of the one that takes its place.

A host is full by its workers, or by what they share: cores, memory, a device. So the place that an end gives
free is any of its host, and the start that follows takes it, whichever worker it is of. By worker alone, one
that was held back by the cores that another one had would count as slow to begin.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from conductor.core.needs.samples import usual
from conductor.model.receipt import Receipt

#: It is looked for in so many of the newest receipt files, in so much of their ends.
FILES, TAIL_BYTES = 16, 1 << 16
#: A longer gap was not lost: there was nothing to do.
LONGEST_GAP_S = 1.0
#: Nothing was seen yet.
USUAL_GAP_S = 0.05


def gap_s(folder: Path) -> float:
    """The usual one, in seconds, by the receipts below `folder`."""
    files = sorted(folder.glob("*.jsonl"), key=_changed)[-FILES:] if folder.is_dir() else []
    gaps = list(gaps_of(receipt for file in files for receipt in _last_receipts(file)))
    return usual(gaps) if gaps else USUAL_GAP_S


def gaps_of(receipts: Iterable[Receipt]) -> Iterator[float]:
    """Seconds, of each start that followed an end: the latest one whose place nobody had taken yet."""
    moments: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for receipt in receipts:
        moments[receipt.node] += [(receipt.started_at, True), (receipt.ended_at, False)]
    for of_node in moments.values():
        places = list[float]()
        for at, is_start in sorted(of_node):
            if not is_start:
                places.append(at)
            elif places and (gap := at - places.pop()) <= LONGEST_GAP_S:
                yield gap


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _last_receipts(file: Path) -> Iterator[Receipt]:
    try:
        with file.open("rb") as content:
            content.seek(max(0, file.stat().st_size - TAIL_BYTES))
            lines = content.read().splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=Receipt)
