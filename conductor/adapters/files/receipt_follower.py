"""The receipt files of a folder as they grow: what was added since the last look, and not a line twice."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from conductor.adapters.files.archives import header_of

BLOCK_BYTES = 4 << 20


class ReceiptFollower:
    """Not for several threads."""

    def __init__(self, folder: Path, tail_bytes: int, read: dict[str, int] | None = None) -> None:
        """`tail_bytes`: of a file that was never read before only so much of its end is. `read`: file →
        bytes read, as another follower left it."""
        self._folder = folder
        self._tail_bytes = tail_bytes
        self.read = {} if read is None else read

    def news(self) -> list[bytes]:
        """The lines that were added since the last call, a block per file. Raises `OSError` where none can
        be read."""
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl")}
        self.read = {name: at for name, at in self.read.items() if name in sizes}
        found: list[bytes] = []
        fault: OSError | None = None
        for name in sorted(sizes):
            at = self.read.get(name)
            if at is not None and at > sizes[name]:
                at = self._moved(name, at)
            if at is None or at > sizes[name]:  # new, or another file under an old name
                at = max(0, sizes[name] - self._tail_bytes)
            try:
                found += self._block(name, at) if at < sizes[name] else []
            except OSError as e:
                fault = e
        if fault is not None and not found:
            raise fault
        return found

    def _moved(self, name: str, at: int) -> int:
        """Where that place is now that what lay before was taken out into an archive."""
        with contextlib.suppress(OSError), (self._folder / name).open("rb") as file:
            parts, begins = header_of(file.fileno())
            if parts:
                return begins + max(0, at - parts[-1].until)
        return at

    def _block(self, name: str, at: int) -> list[bytes]:
        with (self._folder / name).open("rb") as file:
            file.seek(at)
            block = file.read(BLOCK_BYTES)
        end = block.rfind(b"\n") + 1
        if not end and len(block) == BLOCK_BYTES:
            end = len(block)  # no receipt is so long
        self.read[name] = at + end
        return block[:end].splitlines()
