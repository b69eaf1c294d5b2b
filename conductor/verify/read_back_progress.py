"""How far the night is proved already: what the conductor of this host has read back, for who asks meanwhile.

`STATE_DIR/read_back.json`, written by `conductor.verify.read_back`. It says nothing that `verify` goes by.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from conductor.base.files.safe_open import make_own
from conductor.base.text import many
from conductor.model.spec import Value

FILE = "read_back.json"


class ReadBackProgress(Value, frozen=True, kw_only=True):
    """Instants in epoch seconds."""

    #: The conductor began.
    since: float
    #: Published files that were read since then and are as their receipts say; `altered`: that are not.
    files: int = 0
    altered: int = 0
    #: Those that wait to be read.
    left: int = 0

    @property
    def words(self) -> str:
        """«152 published files read back, as published; 8 to read»."""
        read = f"{many(self.files, 'published file')} read back, as published"
        altered = f"; {self.altered} not as published: `conductor verify` names them" if self.altered else ""
        return f"{read}{f'; {self.left} to read' if self.left else ''}{altered}"


def write_progress(state_dir: Path, progress: ReadBackProgress) -> None:
    """Raises `OSError`. Nobody goes by it after a power cut: it need not be on disk."""
    make_own(state_dir)
    draft = state_dir / f".{FILE}"
    draft.write_bytes(msgspec.json.encode(progress))
    draft.replace(state_dir / FILE)


def read_progress(state_dir: Path) -> ReadBackProgress | None:
    """None: nothing was read back on this host, or nobody can say."""
    with suppress(OSError, msgspec.DecodeError):
        found = msgspec.json.decode((state_dir / FILE).read_bytes(), type=ReadBackProgress)
        return found if found.files or found.left or found.altered else None
    return None
