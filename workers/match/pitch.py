"""The pitch, and where on it a place of the picture is: of a camera that stands still and sees all of it."""

from __future__ import annotations

from typing import NamedTuple

LENGTH_M, WIDTH_M = 105.0, 68.0
#: Between the posts.
MOUTH_M = 7.32


class Box(NamedTuple):
    """The pitch in the picture, in shares of its width and height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def metres(self, x: float, y: float) -> tuple[float, float]:
        """Of a place in shares of the picture; beyond the lines it is below 0, or above the pitch's size."""
        return (
            (x - self.left) / (self.right - self.left) * LENGTH_M,
            (y - self.top) / (self.bottom - self.top) * WIDTH_M,
        )
