"""The body that runs stands still while its node says that the host is somebody else's, and goes on
afterwards."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.adapters.host.freezing import note_folder, word, word_file
from conductor.base.logs.events import emit_event
from conductor.model.subject import SHORT_ID

if TYPE_CHECKING:
    from workers.attempt.parts import InHand
    from workers.isolation.child_process import ChildProcess
    from workers.isolation.held_attempt import Held
    from workers.isolation.stop_signals import Stopping


class Freezer:
    """One worker's; `look` is the watchdog's to call."""

    def __init__(
        self, host: ChildProcess, stopping: Stopping, state_dir: Path, node: str, worker: str
    ) -> None:
        self._host = host
        self._stopping = stopping
        self._word = word_file(state_dir, node)
        self._note = note_folder(state_dir, node) / f"{worker}.json"

    def look(self, hand: InHand) -> None:
        """A worker that is to leave freezes nothing: what it has in hand is finished, or stopped."""
        running = _running(hand)
        why = None if running is None or self._stopping.is_asked else word(self._word)
        if why is None or running is None:
            self.thaw()
        elif self._host.frozen.is_on:
            self._host.frozen.stay(running)
        elif self._host.freeze(running, why, self._note):
            emit_event("attempt.frozen", "Frozen: {about} ({}) attempt {attempt}: {why}",
                       running.job_id[:SHORT_ID], job_id=running.job_id, attempt=running.attempt,
                       about=running.about, why=why)  # fmt: skip
            self._stopping.wake_keeper()

    def thaw(self) -> None:
        if self._host.frozen.end():
            emit_event("attempt.thawed", "What was frozen goes on")
            # Its limits are to be looked at again, and the ledger is to hear of it.
            self._stopping.wake()
            self._stopping.wake_keeper()


def _running(hand: InHand) -> Held | None:
    with suppress(IndexError):  # The main thread may take it away at this moment.
        return hand.given[0].held
    return None
