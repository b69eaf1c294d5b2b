"""Writes a recording of ticks: each distinct value becomes one line."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from recorded import REF, TICK, RecordedTick


class RecordingWriter:
    """Each distinct value becomes one line."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._known: dict[bytes, int] = {}

    def add(self, tick: RecordedTick) -> None:
        self._line(TICK, {name: self._told(getattr(tick, name)) for name in tick._fields})

    def write(self, path: Path) -> None:
        path.write_bytes(lzma.compress(b"\n".join(self._lines), preset=9 | lzma.PRESET_EXTREME))

    def _told(self, value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            fields = {name: self._told(getattr(value, name)) for name in value.__struct_fields__}
            return {REF: self._line(type(value).__name__, fields)}
        if isinstance(value, dict):
            return {str(key): self._told(its) for key, its in cast("dict[Any, Any]", value).items()}
        if isinstance(value, (list, tuple)):
            return [self._told(each) for each in cast("Sequence[Any]", value)]
        return value

    def _line(self, name: str, fields: dict[str, Any]) -> int:
        line = msgspec.json.encode([name, fields])
        number = self._known.get(line)
        if number is None or name == TICK:
            number = self._known[line] = len(self._lines)
            self._lines.append(line)
        return number
