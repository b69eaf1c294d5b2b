"""Hears who is preloaded behind what this worker runs: one thread, which blocks on the worker's list in the
ledger.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from conductor.base.errors import ConductorError
from conductor.model.ledger_entries import RollCall

if TYPE_CHECKING:
    from conductor.model.ledger_entries import Preloaded
    from conductor.ports import Attempts
    from workers.isolation.stop_signals import Stopping

#: The ledger answers sooner than that; it only has to be said how long at most.
_WAIT_S = 60.0
#: Redis is away: asked again after so long, each time twice as long, up to the second.
_AGAIN_S = 0.1, 1.0


class SuccessorFeed:
    """What it hears wakes the main thread, which asks for it."""

    def __init__(
        self,
        attempts: Attempts,
        worker: str,
        stopping: Stopping,
        on_roll_call: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_roll_call`: this worker is to say at once what it holds."""
        self._attempts = attempts
        self._worker = worker
        self._stopping = stopping
        self._on_roll_call = on_roll_call
        self._words: deque[Preloaded] = deque()
        #: How often the ledger could not be asked: one that was restarted may have forgotten the last of its
        #: words.
        self.breaks = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lining", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Its thread ends with its connection, or with the process: it holds nothing."""
        self._closed.set()

    def next(self) -> Preloaded | None:
        """The main thread's: the next word, if there is one."""
        return self._words.popleft() if self._words else None

    def _work(self) -> None:
        away_s = 0.0
        while not self._closed.is_set():
            try:
                word = self._attempts.next_preloaded(self._worker, 0.0 if away_s else _WAIT_S)
            except (ConductorError, msgspec.MsgspecError, TypeError, ValueError, OSError) as e:
                self.breaks += 1
                away_s = min(2 * away_s or _AGAIN_S[0], _AGAIN_S[1])
                if not self._closed.wait(away_s):
                    logger.debug("Not heard who goes next: {}", e)
                continue
            # Back from a break: a Redis that forgot this worker will not call it.
            if away_s or isinstance(word, RollCall):
                away_s = 0.0
                self._on_roll_call()
            if word is not None and not isinstance(word, RollCall):
                self._words.append(word)
                self._stopping.wake()
