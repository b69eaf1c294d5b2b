"""How many things a model is given at once: half as many whenever memory runs out, until it is one alone.
Only then does the body fail, and its job asks for more memory.

What was found is remembered on this host for a week, so that neither the next attempt nor the next job runs
out again; later there may be more room.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from conductor.base.files.safe_open import make_own
from workers.task_api.out_of_memory import cause_of

T = TypeVar("T")
FOLDER = "batches"
KEPT_S = 7 * 24 * 3600.0


class BatchSize:
    """`size`: so many now. `key`: what it depends on: the model, the device, the size of a picture."""

    def __init__(self, most: int, key: str, state_dir: Path) -> None:
        self._file = state_dir / FOLDER / hashlib.sha256(key.encode()).hexdigest()[:16]
        self.size = min(most, self._remembered() or most)

    def map(self, things: Any, call: Callable[[Any], T], has_device: bool) -> Iterator[T]:
        """`things`: a list, or an array, cut by its first side. What `call` makes of each part. A part that
        was too large is given again, in halves; whatever else `call` raises goes on."""
        done = 0
        while done < len(things):
            part = things[done : done + self.size]
            try:
                answer = call(part)
            except Exception as e:
                if len(part) == 1 or cause_of(f"{type(e).__name__}: {e}", has_device) is None:
                    raise
                # What did not fit may be less than the size: the last part of all is shorter.
                self.size = max(1, len(part) // 2)
                self._remember()
                continue
            done += len(part)
            yield answer

    def _remembered(self) -> int | None:
        with suppress(OSError, ValueError):
            if time.time() - self._file.stat().st_mtime < KEPT_S:
                return max(1, int(self._file.read_text(encoding="ascii")))
        return None

    def _remember(self) -> None:
        """Nothing rests on it: where it cannot be written, it is found out again."""
        with suppress(OSError):
            make_own(self._file.parent)
            draft = self._file.with_suffix(".draft")
            draft.write_text(str(self.size), encoding="ascii")
            draft.replace(self._file)
