"""Looks at something that may hang, in a thread of its own, so that no answer waits longer than it wants."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from loguru import logger

from conductor.app.web.loop_calls import call_in_loop
from conductor.base.errors import ConductorError

T = TypeVar("T")


class Seen(NamedTuple, Generic[T]):
    """What was seen last, if ever, and how it stands with the next look."""

    value: T | None
    #: Seconds since; None: nothing was ever seen.
    age_s: float | None
    #: Why the last look failed; empty: it did not.
    fault: str
    #: For so long the present look has had no answer; 0: none is under way.
    silent_s: float


#: Of the time a look is at it at most one part in so many: where Redis is slow, it is not asked the more.
LARGEST_SHARE = 2


class Lookout(threading.Thread, Generic[T]):
    """One look for all who ask, at most every `every_s` seconds, and none while nobody asks."""

    def __init__(self, name: str, look: Callable[[], T], every_s: float) -> None:
        super().__init__(name=f"look-{name}", daemon=True)
        self._look, self._every_s = look, every_s
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._value: T | None = None
        self._at: float | None = None
        self._began: float | None = None
        self._fault = ""
        self._expired_at = float("-inf")
        self._is_over = False

    def run(self) -> None:
        while True:
            self._wanted.wait()
            if self._is_over:
                return
            self._wanted.clear()
            began = self._began = time.monotonic()
            self._try()
            self._began = None
            self._tell()
            # Whoever asks meanwhile waits for the next one.
            ended = time.monotonic()
            pause_s = max(self._every_s, LARGEST_SHARE * (ended - began))
            time.sleep(max(0.0, began + pause_s - ended))

    def _try(self) -> None:
        began = time.monotonic()
        try:
            self._value = self._look()
            self._at, self._fault = began, ""
        except (ConductorError, OSError) as e:
            self._fault = str(e)
        except Exception as e:  # noqa: BLE001  this thread has to outlive what it sees
            logger.opt(exception=True).error("A look failed: {}", e)
            self._fault = f"the look failed ({type(e).__name__}): the log of `web` has more"

    def _tell(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            call_in_loop(loop, _settle, future)

    def seen(self) -> Seen[T]:
        at, began, now = self._at, self._began, time.monotonic()
        age_s, silent_s = None if at is None else now - at, 0.0 if began is None else now - began
        return Seen(self._value, age_s, self._fault, silent_s)

    async def fresh(self, max_age_s: float, wait_s: float) -> Seen[T]:
        """Not older than `max_age_s` where that can be had within `wait_s`; else what there is."""
        last, at = self.seen(), self._at
        is_valid = at is not None and at >= self._expired_at and not last.fault
        if is_valid and last.age_s is not None and last.age_s <= max_age_s:
            return last
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting.append((loop, future))
        self._wanted.set()
        await asyncio.wait([future], timeout=wait_s)
        return self.seen()

    def expire(self) -> None:
        """Something happened: what was seen before is not fresh, however lately that was."""
        self._expired_at = time.monotonic()

    def stop(self) -> None:
        self._is_over = True
        self._wanted.set()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
