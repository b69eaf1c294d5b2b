"""What becomes of running bodies while their host is somebody else's: they finish, or stand still
meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conductor.adapters.host.freezing import give_word, take_word_back, word_file
from conductor.base.logs.events import emit_event
from conductor.model.report import Obstacle


class Yielding:
    """One thread's. `does_freeze`: as this host's settings say."""

    def __init__(self, state_dir: Path, node: str, *, does_freeze: bool) -> None:
        self._file = word_file(state_dir, node)
        self._does_freeze = does_freeze
        self._said: str | None = None
        # An earlier node's of this name, which is gone.
        take_word_back(self._file)

    def hear(self, obstacles: Sequence[Obstacle]) -> None:
        yielding = (o.words for o in obstacles if o.is_yielding and not o.device)
        why = next(yielding, None) if self._does_freeze else None
        if why == self._said:
            return
        self._said = why
        if why is None:
            take_word_back(self._file)
            return
        try:
            give_word(self._file, why)
        except OSError as e:
            words = "Nothing is frozen: {file} cannot be written: {error}"
            emit_event("freezing.failed", words, file=str(self._file), error=e.strerror or str(e))

    def close(self) -> None:
        self.hear(())
