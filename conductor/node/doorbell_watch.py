"""The thread that hears when something is handed over to a node of whose workers some are not started."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from loguru import logger

from conductor.base.errors import Unreachable
from conductor.node.supervisor import Supervisor
from conductor.ports import Ledger

#: The longest it waits for one ring; then it looks whether anybody still wants to know.
LISTEN_S = 30.0
#: Rings that come so soon after another are one: a backlog of short jobs rings hundreds of times a second.
PAUSE_S = 0.05
#: Who cannot listen tries again after so long.
AGAIN_S = 1.0
#: Meanwhile the queues are looked at.
LOOK_S = 0.2


class DoorbellWatch(threading.Thread):
    """Started once; `stop` ends it. `on_ring` is called (in this thread) when the main thread has to look."""

    def __init__(self, ledger: Ledger, node: str, on_ring: Callable[[], None]) -> None:
        super().__init__(name="doorbell", daemon=True)
        self._doorbell, self._handover = ledger.doorbell, ledger.handover
        self._node = node
        self._on_ring = on_ring
        self._is_wanted = threading.Event()
        self._stopping = threading.Event()
        #: Nobody says when something comes.
        self._is_deaf = True

    # ── for the main thread ───────────────────────────────────────────────────────────────────────────────

    def call_workers(self, supervisor: Supervisor) -> None:
        """Where something waits that no worker has taken, and seats are asleep."""
        if not supervisor.has_asleep:
            self._is_wanted.clear()
            return
        # First: what comes after the look below rings.
        self._is_wanted.set()
        with suppress(Unreachable):  # asked again at the next turn
            supervisor.call(self._handover.queued())

    @property
    def next_look_s(self) -> float | None:
        """None: a ring says when."""
        return LOOK_S if self._is_deaf and self._is_wanted.is_set() else None

    def stop(self) -> None:
        """It may go on to wait for one ring, which nobody hears any more."""
        self._stopping.set()
        self._is_wanted.set()

    # ── the thread ────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        while not self._stopping.is_set():
            self._is_wanted.wait()
            try:
                self._listen()
            except Unreachable as e:
                logger.debug("Nobody tells this node what is handed over to it, it looks for itself: {}", e)
                self._stopping.wait(AGAIN_S)
            finally:
                self._is_deaf = True

    def _listen(self) -> None:
        with self._doorbell.listening(self._node) as rings:
            self._is_deaf = False
            # What came before this moment has rung for nobody.
            self._on_ring()
            while self._is_wanted.is_set() and not self._stopping.is_set():
                if rings(LISTEN_S):
                    self._on_ring()
                    self._stopping.wait(PAUSE_S)
