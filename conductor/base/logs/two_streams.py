"""Which bytes of a worker's output file were written to stderr, and how lines know their stream.

Bodies print both streams into one file, so that the order is the kernel's. Beside it, `worker-NAME.err` holds
the ranges that were stderr. In the file that is kept of a body a line of stderr begins with `MARK`, which a
terminal does not show.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

from conductor.base.text import size

Stream = Literal["stdout", "stderr"]
#: «Record separator»: no program prints it at the beginning of a line; where one does, it is written as «?».
MARK = b"\x1e"
_RANGE = struct.Struct("<QQ")
#: The end of a range that is written still.
_OPEN = (1 << 64) - 1
#: So many ranges of each writer are kept, the newest.
_MOST = 1 << 15
#: So far back the beginning of a line is looked for.
_LONGEST_LINE = 4096


def ranges_file(output: Path) -> Path:
    return output.with_suffix(".err")


def names_folder(output: Path) -> Path:
    """Where the file is opened by a name for each stream."""
    return output.with_suffix(".names")


def written_to_stderr(
    names: Sequence[str], seen: int, out: int, error: int, line_starts: Callable[[int, int], list[int]]
) -> list[tuple[int, int]]:
    """Ranges of what was appended behind `seen`, where it is plain what was stderr; an empty range is the end
    of a write of which nobody knows where it began.

    `names`: the streams in the order in which they were written to, as far as the kernel said. `out`,
    `error`: where the last write of each ended. `line_starts` of the lines between two places."""
    turn, last = min(out, error), "stderr" if error > out else "stdout"
    if turn <= seen:  # only one of them wrote
        return [(seen, error)] if last == "stderr" else []
    found = [(turn, error)] if last == "stderr" else []
    order = list(names) if names[-1:] == [last] else [*names, last]
    before, ends_stderr = order[:-1], last == "stdout"
    # Of more than two turns it is known where the last one began. Who prints lines took one a turn.
    starts = [seen] if len(before) == 1 else line_starts(seen, turn)
    if before and len(starts) == len(before):
        pieces = zip(before, pairwise([*starts, turn]), strict=True)
        return [*(piece for stream, piece in pieces if stream == "stderr"), *found]
    return [(turn, turn), *found] if ends_stderr else found


class RangeWriter:
    """One of the two that write ranges: the child, of what Python writes there (`turn` 0), and its worker, of
    what else does (1). Each has every other place of the file.
    """

    def __init__(self, fd: int, turn: Literal[0, 1]) -> None:
        self._fd, self._turn = fd, turn
        self._count = 0
        self._last = (0, -1)

    def add(self, start: int, end: int) -> None:
        """An empty one says that a write ended there, and nobody saw where it began."""
        if start == self._last[1] and end > start:
            start = self._last[0]
        else:
            self._count += 1
        self._last = (start, end)
        self._put(start, end)

    def begin(self, start: int) -> None:
        """One that goes on until `close`, or to where stderr was seen to end."""
        self._count += 1
        self._put(start, _OPEN)

    def close(self, start: int, end: int) -> None:
        """The one that began last."""
        self._put(start, end)

    def _put(self, start: int, end: int) -> None:
        place = (self._count % _MOST) * 2 + self._turn
        with suppress(OSError):  # a full disk: the lines are there, and what they are is not known
            os.pwrite(self._fd, _RANGE.pack(start, end), place * _RANGE.size)


def stderr_ranges(output: Path, start: int, end: int) -> list[tuple[int, int]]:
    """Within those bytes of the file, in order, none touches another."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(_noted(output), key=lambda each: (each[1], -each[0])):
        if last <= start or first >= end:
            continue
        known = found[-1][1] if found else start
        first, last = max(first, start), min(last, end)
        if first == last:
            if last <= known:
                continue
            first = _line_start(output, max(known, last - _LONGEST_LINE), last)
        while found and found[-1][1] >= first:
            first = min(first, found.pop()[0])
        found.append((first, last))
    return found


def _noted(output: Path) -> list[tuple[int, int]]:
    try:
        said = ranges_file(output).read_bytes()
    except OSError:
        return []
    noted = list(_RANGE.iter_unpack(said[: len(said) // _RANGE.size * _RANGE.size]))
    ends = sorted(end for _, end in noted if end != _OPEN)
    found: list[tuple[int, int]] = []
    for start, end in noted:
        if end == _OPEN:
            after = bisect_right(ends, start)
            if after == len(ends):
                continue
            end = ends[after]
        found.append((start, end))
    return found


def _line_start(output: Path, lowest: int, end: int) -> int:
    try:
        with output.open("rb") as source:
            source.seek(lowest)
            said = source.read(end - lowest)
    except OSError:
        return lowest
    return lowest + said.rfind(b"\n", 0, -1) + 1


def runs(start: int, end: int, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[Stream, int, int]]:
    """Those bytes as pieces of one stream each. `ranges`: of stderr, in order."""
    for first, last in ranges:
        first, last = max(first, start), min(last, end)
        if first >= last:
            continue
        if first > start:
            yield "stdout", start, first
        yield "stderr", first, last
        start = last
    if start < end:
        yield "stdout", start, end


class Lines:
    """Whole lines of two streams that come in pieces. A line goes on in its own stream: what the other wrote
    meanwhile stands before it."""

    def __init__(self) -> None:
        self._begun: dict[Stream, bytes] = {}

    def take(self, stream: Stream, said: bytes) -> Iterator[tuple[Stream, bytes]]:
        *lines, left = (self._begun.pop(stream, b"") + said).split(b"\n")
        if left:
            self._begun[stream] = left
        for line in lines:
            yield stream, line

    def rest(self) -> Iterator[tuple[Stream, bytes]]:
        """What has no end yet."""
        begun, self._begun = self._begun, {}
        yield from begun.items()


class KeptLines:
    """What is kept of a body: lines of both streams, in their order."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._kept = bytearray()

    def take(self, stream: Stream, said: bytes) -> None:
        for whole in self._lines.take(stream, said):
            self._kept += marked(*whole) + b"\n"

    def leave_out(self, count: int) -> None:
        if count > 0:
            self._kept += self._unfinished() + f"\n… {size(count)} left out …\n".encode()

    def text(self) -> bytes:
        return bytes(self._kept) + self._unfinished()

    def _unfinished(self) -> bytes:
        return b"\n".join(marked(*line) for line in self._lines.rest())


def marked(stream: Stream, line: bytes) -> bytes:
    """As it is kept."""
    line = line.replace(MARK, b"?")
    return MARK + line if stream == "stderr" else line


def unmarked(line: bytes) -> tuple[Stream, bytes]:
    """A line that was kept."""
    return ("stderr", line[1:]) if line.startswith(MARK) else ("stdout", line)
