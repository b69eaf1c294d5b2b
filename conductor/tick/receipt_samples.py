"""What is learned from: the samples of this host's receipt files, which it goes on reading where it stopped.

`state_dir/learned.json` holds the samples and how far each file was read. It may be deleted: then the ends of
the files are read again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from loguru import logger

from conductor.adapters.files.archives import header_of
from conductor.base.files.safe_open import make_own
from conductor.core.needs.samples import Memory, Ring
from conductor.model.receipt import Receipt
from conductor.record.journal import Journal
from conductor.recovery.forget_needs import forgotten

CACHE_VERSION = 1
#: Of a file that was never read before only so much of its end is: what is older would be forgotten anyway.
TAIL_BYTES = 32 << 20
BLOCK_BYTES = 4 << 20
_decode = msgspec.json.Decoder(Receipt).decode


class Cache(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    v: int = CACHE_VERSION
    folder: str
    #: File → bytes read.
    read: dict[str, int]
    nodes: list[str]
    rings: list[Ring]


class Receipts:
    """The receipt files as far as they were read, and what they taught. Not for several threads."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder = folder
        self._cache = cache
        self._read: dict[str, int] = {}
        self._journal = Journal(folder)
        self._said: dict[str, int] = {}
        self.memory = Memory()
        self._load()
        self.forget()

    def _load(self) -> None:
        try:
            found = msgspec.json.decode(self._cache.read_bytes(), type=Cache)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as e:
            logger.info("{} cannot be read ({}): the receipts are read again", self._cache, e)
            return
        if found.v == CACHE_VERSION and found.folder == str(self._folder):
            self._read, self.memory = found.read, Memory(found.rings)
            self.memory.nodes.update(found.nodes)

    def save(self) -> None:
        """Whole or not at all; samples and offsets are of one moment."""
        rings = list(self.memory.rings())
        cache = Cache(folder=str(self._folder), read=self._read, nodes=sorted(self.memory.nodes), rings=rings)
        draft = self._cache.with_suffix(f".{os.getpid()}.tmp")
        try:
            make_own(self._cache.parent)
            draft.write_bytes(msgspec.json.encode(cache))
            draft.replace(self._cache)
        except OSError as e:
            logger.warning(
                "{} cannot be written ({}): receipts are read again after a restart", self._cache, e
            )
            with contextlib.suppress(OSError):
                draft.unlink()

    def forget(self) -> bool:
        """What the operator said is to be forgotten; False: nothing was said since the last call."""
        said = {file.name: file.stat().st_size for file in self._journal.files()}
        if said == self._said:
            return False
        self._said = said
        self.memory.forget(forgotten(self._journal.notes()))
        return True

    def news(self) -> list[Receipt]:
        """What was added since the last call, a block per file. Raises `OSError` where none can be read."""
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl")}
        self._read = {name: at for name, at in self._read.items() if name in sizes}
        found: list[Receipt] = []
        fault: OSError | None = None
        for name in sorted(sizes):
            at = self._read.get(name)
            if at is not None and at > sizes[name]:
                at = self._moved(name, at)
            if at is None or at > sizes[name]:  # new, or another file under an old name
                at = max(0, sizes[name] - TAIL_BYTES)
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

    def _block(self, name: str, at: int) -> list[Receipt]:
        with (self._folder / name).open("rb") as file:
            file.seek(at)
            block = file.read(BLOCK_BYTES)
        end = block.rfind(b"\n") + 1
        if not end and len(block) == BLOCK_BYTES:
            end = len(block)  # no receipt is so long
        self._read[name] = at + end
        found: list[Receipt] = []
        for line in block[:end].splitlines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                found.append(_decode(line))  # what is not whole is named by `audit` and `verify`
        return found


def cache_of(state_dir: Path) -> Path:
    return state_dir / "learned.json"
