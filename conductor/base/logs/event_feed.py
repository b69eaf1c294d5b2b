"""From who emits to the stream of events: what happens is handed on in batches by a thread of its own.

Whoever emits never waits: an event is put into a bounded row in memory, and a stream that is full, slow or
away costs events, never work. How many were dropped is said in the log, and by the next event that gets
through. The record and the ledger are the truth; the stream is for those who look.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from loguru import logger

from conductor.base import secrets
from conductor.base.errors import ConductorError
from conductor.base.logs.events import begin_hearing, emit_event, end_hearing
from conductor.model.events import EVENTS
from conductor.model.told_event import ToldEvent

Append = Callable[[Sequence[ToldEvent]], None]

#: So many wait in memory at most, and so many go in one call.
MOST_WAITING = 5_000
BATCH = 500
#: What is emitted within this time goes together; then nothing goes for a while: who watches hears at once of
#: what comes alone, and of a storm in a few batches a second.
GATHER_S, REST_S = 0.05, 0.2
#: After a call that failed.
AGAIN_S = 2.0
#: On the way out.
PATIENCE_S = 1.0


@contextmanager
def feeding(append: Append, name: str) -> Generator[EventFeed]:
    """While it lasts, all that this process emits goes to the stream. `name`: who says so."""
    feed = EventFeed(append, f"{name}@{socket.gethostname()}")
    hear = feed.hear
    begin_hearing(hear)
    feed.start()
    try:
        yield feed
    finally:
        end_hearing(hear)
        feed.close()


class EventFeed:
    """`dropped`: events that did not get through, of all time."""

    def __init__(self, append: Append, source: str) -> None:
        self._append = append
        self._source = source
        self._waiting: deque[ToldEvent] = deque()
        self._has_some = threading.Event()
        self._closing = threading.Event()
        self._is_lost = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What waits is handed on yet, where that takes no longer than a moment."""
        self._closing.set()
        self._has_some.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    def hear(self, event: str, message: str, fields: dict[str, Any]) -> None:
        """A forked child has the feed and not its thread: its events are its parent's to tell."""
        if self._pid != os.getpid():
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        level, source = EVENTS[event].level, self._source
        self._waiting.append(
            ToldEvent(name=event, at=time.time(), level=level, message=message, source=source, fields=fields)
        )
        if not self._has_some.is_set():  # Asked after it was put in: who clears it looks after that.
            self._has_some.set()

    def _work(self) -> None:
        while not (self._closing.is_set() and not self._waiting):
            self._has_some.wait()
            self._closing.wait(GATHER_S)
            self._has_some.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                if not self._hand_on(batch):
                    self.dropped += len(batch)
                    if self._closing.is_set():
                        return
                    self._closing.wait(AGAIN_S)
            self._closing.wait(REST_S)

    def _hand_on(self, batch: list[ToldEvent]) -> bool:
        try:
            self._append([_clean(event) for event in batch])
        except ConductorError as e:
            if not self._is_lost:
                logger.debug("Events are not told to Redis: {}", e)
            self._is_lost = True
            return False
        except Exception as e:  # noqa: BLE001  the looking on must never end the work; said once
            if not self._is_lost:
                logger.opt(exception=True).warning("Events cannot be told: {}", e)
            self._is_lost = True
            return False
        if self._is_lost:
            words = "Redis hears of events again: {events} were dropped, and are in the logs"
            emit_event("events.dropped", words, events=self.dropped)
        self._is_lost = False
        return True


def _clean(event: ToldEvent) -> ToldEvent:
    """Without secrets."""
    return ToldEvent(
        name=event.name,
        at=event.at,
        level=event.level,
        message=secrets.scrub(event.message),
        source=event.source,
        fields=secrets.scrub_all(event.fields),
    )
