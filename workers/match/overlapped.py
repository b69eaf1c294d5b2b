"""Pictures that come in piece by piece, handed on in batches: while one is looked at, the next comes in, so
that neither who decodes nor who looks waits for the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from workers.vision.onnx_session import Frames

Answer = TypeVar("Answer")


class OverlappedBatches(Generic[Answer]):
    """`look`: [n, height, width, 3] → one answer a picture, in a thread of its own; `take`: the answers of a
    batch, in the order of the pictures, in the caller's. At most two batches are held. What `look` raises,
    the next call raises."""

    def __init__(
        self,
        height: int,
        width: int,
        look: Callable[[Frames], Sequence[Answer]],
        take: Callable[[Sequence[Answer]], None],
    ) -> None:
        self._shape = (height, width, 3)
        self._picture_bytes = height * width * 3
        self._look = look
        self._take = take
        self._pending = bytearray()
        self._running: Future[Sequence[Answer]] | None = None
        self._thread = ThreadPoolExecutor(1, "look")

    def __enter__(self) -> OverlappedBatches[Answer]:
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for a batch that is being looked at: its session is kept for the next job."""
        self._thread.shutdown(cancel_futures=True)

    def feed(self, chunk: bytes, size: int) -> None:
        """`size`: so many pictures are a batch now."""
        self._pending += chunk
        while len(self._pending) >= size * self._picture_bytes:
            self._hand_on(size)

    def end(self) -> None:
        """What is left; a part of a picture is none."""
        if (left := len(self._pending) // self._picture_bytes) > 0:
            self._hand_on(left)
        self._finish()

    def _hand_on(self, count: int) -> None:
        import numpy as np

        self._finish()
        # The batch keeps this array for itself; nothing is copied but what lies behind it.
        filled, cut = self._pending, count * self._picture_bytes
        self._pending = filled[cut:]
        pictures = np.frombuffer(filled, np.uint8, cut).reshape(count, *self._shape)
        self._running = self._thread.submit(self._look, pictures)

    def _finish(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            self._take(running.result())
