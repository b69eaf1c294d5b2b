"""Rows of JSON that are read again and again: those whose bytes are known are the very objects of the last
time.

It saves their decoding, and lets the decision see at a glance what did not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class KnownRows(Generic[T]):
    """Holds the rows of the last text, no others."""

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        self._decode = decode
        self._known: dict[bytes, T] = {}

    def read(self, text: bytes) -> list[T]:
        """`text`: a row a line (JSON has no bare line feed).

        Raises `msgspec.DecodeError`, `msgspec.ValidationError`.
        """
        known, decode = self._known, self._decode
        rows = text.split(b"\n") if text else []
        found = self._known = {row: known[row] if row in known else decode(row) for row in rows}
        return list(found.values())
