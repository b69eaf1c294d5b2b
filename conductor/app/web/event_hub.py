"""The stream of events for all who watch: one reader of Redis, a bounded row for each watcher.

Who asks for what came after an event gets it from memory, or the word `reset`: what he knows is too old, and
he is to read everything anew. Nobody makes Redis read the same twice.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence

from conductor.app.web.loop_calls import call_in_loop
from conductor.base.errors import ConductorError
from conductor.base.text import escaped
from conductor.model.told_event import ToldEvent, is_event_id, order_of
from conductor.ports.event_stream import EventStream
from conductor.views.as_json import json_text

#: So many of the last events are at hand for who comes back.
KEPT = 2_000
#: A watcher that is so many behind is let go.
MOST_BEHIND = 500
MOST_WATCHERS = 256
#: Without an event for so long a line without meaning is sent: whoever stands between does not hang up.
KEEP_ALIVE_S = 15.0
AGAIN_S = 1.0
READ_WAIT_S = 4.0
#: Sent in one go where there are many.
BATCH = 100


class EventListener:
    """One open connection. `abort`: lets it go at once."""

    def __init__(self, job_id: str, abort: Callable[[], None]) -> None:
        self.job_id = job_id
        self.abort = abort
        self.row: deque[tuple[str, str]] = deque()
        self.has_some = asyncio.Event()
        self.is_dropped = False

    def offer(self, event: ToldEvent, text: str) -> None:
        if self.job_id and self.job_id not in event.job_ids:
            return
        if len(self.row) >= MOST_BEHIND:
            self.is_dropped = True
            self.abort()
        else:
            self.row.append((event.id, text))
        self.has_some.set()


Hear = Callable[[Sequence[ToldEvent]], None]


class EventHub(threading.Thread):
    """Both are called by the loop's thread. `hear`: is told of all that happens from now on; `remember`: of
    what the stream had before, too."""

    def __init__(self, stream: EventStream, hear: Hear, remember: Hear) -> None:
        super().__init__(name="event-reader", daemon=True)
        self._hear, self._remember = hear, remember
        self._stream = stream
        self._kept: deque[tuple[ToldEvent, str]] = deque(maxlen=KEPT)
        self._watchers: set[EventListener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_over = threading.Event()
        self._last = ""

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.start()

    def stop(self) -> None:
        """Watchers go home, or the process would wait for them."""
        self._is_over.set()
        for watcher in self._watchers:
            watcher.is_dropped = True
            watcher.has_some.set()

    # ── the reader's thread ───────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        is_new = True
        while not self._is_over.is_set():
            try:
                events = self._earlier() if is_new else self._next()
                was_before = is_new
            except ConductorError:
                self._is_over.wait(AGAIN_S)
                continue
            is_new = False
            if events:
                self._last = events[-1].id
                self._tell(self._offer, [(e, escaped(json_text(e))) for e in events], was_before)

    def _earlier(self) -> tuple[ToldEvent, ...]:
        """All of it goes by once, for who remembers; the last of it is at hand for who comes back."""
        kept: tuple[ToldEvent, ...] = ()
        page = self._stream.read("", KEPT)
        while page:
            self._tell(self._remember, page)
            kept = (*kept, *page)[-KEPT:]
            is_whole = len(page) < KEPT or self._is_over.is_set()
            page = () if is_whole else self._stream.read(page[-1].id, KEPT)
        return kept

    def _next(self) -> tuple[ToldEvent, ...]:
        if not self._last:
            # An empty stream: whatever comes first is news.
            return self._stream.read("", KEPT, READ_WAIT_S)
        return self._stream.read(self._last, KEPT, READ_WAIT_S)

    def _tell(self, whom: Callable[..., None], *what: object) -> None:
        assert self._loop is not None
        if not self._is_over.is_set() and not call_in_loop(self._loop, whom, *what):
            self._is_over.set()

    # ── the loop's thread ─────────────────────────────────────────────────────────────────────────────────

    def _offer(self, told: Sequence[tuple[ToldEvent, str]], was_before: bool) -> None:
        self._kept.extend(told)
        if not was_before:
            events = [event for event, _ in told]
            self._remember(events)
            self._hear(events)
        for event, text in told:
            for watcher in tuple(self._watchers):
                watcher.offer(event, text)

    def enter(self, watcher: EventListener) -> bool:
        """False: there are as many as may be."""
        if len(self._watchers) >= MOST_WATCHERS:
            return False
        self._watchers.add(watcher)
        return True

    def leave(self, watcher: EventListener) -> None:
        self._watchers.discard(watcher)

    async def watch(self, after: str, watcher: EventListener) -> AsyncGenerator[str]:
        """Lines of server-sent events, from the one after `after` on; empty: from now on. Of one who has
        entered."""
        missed, is_reset = self._since(after)
        if after and not is_reset:
            watcher.row.clear()  # What came since it entered is among those missed.
        for event, text in missed:
            watcher.offer(event, text)
        yield "retry: 2000\n\n" + ("event: reset\ndata: {}\n\n" if is_reset else "")
        while not watcher.is_dropped:
            if not watcher.row:
                watcher.has_some.clear()
                try:
                    await asyncio.wait_for(watcher.has_some.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"
                continue
            some = [watcher.row.popleft() for _ in range(min(BATCH, len(watcher.row)))]
            yield "".join(f"id: {event_id}\ndata: {text}\n\n" for event_id, text in some)

    def _since(self, after: str) -> tuple[list[tuple[ToldEvent, str]], bool]:
        """What came after it, and whether there may have been more than that."""
        if not after:
            return [], False
        if not is_event_id(after) or not self._kept or order_of(after) < order_of(self._kept[0][0].id):
            return [], True
        missed = [(event, text) for event, text in self._kept if order_of(event.id) > order_of(after)]
        return (missed, False) if len(missed) < MOST_BEHIND else ([], True)
