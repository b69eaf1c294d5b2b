"""Pictures in pieces: in batches, in order, one looked at while the next comes in."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from workers.match.overlapped import OverlappedBatches

SIZE = 2 * 3 * 3


def pictures(count: int) -> bytes:
    return b"".join(bytes([number]) * SIZE for number in range(count))


@pytest.mark.parametrize("piece", [1, SIZE, SIZE * 5 + 7, SIZE * 40])
def test_each_picture_is_seen_once_and_in_order_however_the_pipe_cuts_them(piece: int):
    seen, sizes, data = list[int](), list[int](), pictures(11) + b"half"

    def look(frames: Any) -> list[int]:
        assert frames.shape[1:] == (2, 3, 3)
        sizes.append(len(frames))
        return [int(frame.max()) for frame in frames if frame.min() == frame.max()]

    with OverlappedBatches(2, 3, look, seen.extend) as batches:
        for first in range(0, len(data), piece):
            batches.feed(data[first : first + piece], 4)
        batches.end()

    assert seen == list(range(11)) and sizes == [4, 4, 3]


def test_the_next_pictures_come_in_while_a_batch_is_looked_at():
    came_in, seen = threading.Event(), list[Any]()

    def look(frames: Any) -> list[int]:
        assert came_in.wait(10), "who decodes waited for who looks"
        return [len(frames)]

    with OverlappedBatches(2, 3, look, seen.extend) as batches:
        batches.feed(pictures(3), 2)
        came_in.set()
        batches.end()
    assert seen == [2, 1]


def test_what_goes_wrong_with_a_batch_is_raised_where_the_pictures_come_from():
    def look(frames: Any) -> list[int]:
        raise MemoryError("no room for a batch")

    with OverlappedBatches(2, 3, look, list[int]().extend) as batches:
        batches.feed(pictures(2), 2)
        with pytest.raises(MemoryError, match="no room"):
            batches.feed(pictures(2), 2)
