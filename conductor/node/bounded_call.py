"""A call that may hang in the kernel, and is not waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Patient(Generic[T]):
    """Calls something that may hang in the kernel, in a thread that is left behind when it does."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answer: list[T] = []
        self._thread: threading.Thread | None = None

    def ask(self, limit_s: float) -> T | None:
        """None: no answer in time; the next call waits for the same answer, never for a second one
        beside it."""
        if self._thread is None:
            self._answer.clear()
            self._thread = threading.Thread(target=lambda: self._answer.append(self._call()), daemon=True)
            self._thread.start()
        self._thread.join(limit_s)
        if self._thread.is_alive():
            return None
        self._thread = None
        return self._answer[0] if self._answer else None
