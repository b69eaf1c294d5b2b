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

from conductor.adapters.files.receipt_follower import ReceiptFollower
from conductor.base.files.safe_open import make_own
from conductor.core.needs.samples import Memory, Ring
from conductor.model.receipt import Receipt
from conductor.record.journal import Journal
from conductor.recovery.forget_needs import forgotten

CACHE_VERSION = 1
#: Of a file that was never read before only so much of its end is: what is older would be forgotten anyway.
TAIL_BYTES = 32 << 20
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
        self._follower = ReceiptFollower(folder, TAIL_BYTES)
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
            self._follower.read, self.memory = found.read, Memory(found.rings)
            self.memory.nodes.update(found.nodes)

    def save(self) -> None:
        """Whole or not at all; samples and offsets are of one moment."""
        rings = list(self.memory.rings())
        cache = Cache(
            folder=str(self._folder), read=self._follower.read, nodes=sorted(self.memory.nodes), rings=rings
        )
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
        found: list[Receipt] = []
        for line in self._follower.news():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                found.append(_decode(line))  # what is not whole is named by `audit` and `verify`
        return found


def cache_of(state_dir: Path) -> Path:
    return state_dir / "learned.json"
