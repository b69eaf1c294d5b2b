"""Questions that may hang: a few threads, and a limit to how many there are and how long they take."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from conductor.app.web.loop_calls import call_in_loop
from conductor.base.errors import Unreachable

#: So many at once, and so many that wait; an answer is waited for so long.
THREADS, MOST_WAITING, ANSWER_S = 8, 64, 5.0

T = TypeVar("T")
#: What is asked, and whom to tell.
Asked = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Questions:
    """Its threads are daemons: one that hangs in the kernel keeps no process from its end."""

    def __init__(self, name: str) -> None:
        self._row: SimpleQueue[Asked | None] = SimpleQueue()
        self._asking = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        for _ in self._threads:
            self._row.put(None)

    async def ask(self, what: Callable[[], T]) -> T:
        """Raises `Unreachable` where there is no answer in time, whatever becomes of it then."""
        if self._asking >= MOST_WAITING:
            raise Unreachable("too much is being asked at once: try again in a moment")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._asking += 1
        self._row.put((what, loop, future))
        done, _ = await asyncio.wait([future], timeout=ANSWER_S)
        if not done:
            future.add_done_callback(_heard)
            raise Unreachable(f"no answer within {ANSWER_S:.0f} s: what was asked for may be done yet")
        return future.result()

    def _work(self) -> None:
        while (asked := self._row.get()) is not None:
            what, loop, future = asked
            try:
                answer, error = what(), None
            except Exception as e:  # noqa: BLE001  it is the asker's
                answer, error = None, e
            if not call_in_loop(loop, self._told, future, answer, error):
                return

    def _told(self, future: asyncio.Future[Any], answer: Any, error: Exception | None) -> None:
        self._asking -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)


def _heard(future: asyncio.Future[Any]) -> None:
    """Nobody waits any more: its error is not to be called unseen."""
    if not future.cancelled():
        future.exception()
