"""What is still to be sent through one channel, and when: a notice that cannot be sent yet is kept.

Notices that wait go together in one message. After a failure the message is tried again, each time later;
where a limit holds messages back, the next one has all of the notices. All instants are of one clock,
whichever the caller takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from conductor.model.alerts import AlertNotice

HOUR_S = 3600.0
FIRST_RETRY_S, LONGEST_RETRY_S = 30.0, 600.0
#: More are not kept for a channel that is dead: the oldest go.
MOST_WAITING = 200


class Outbox:
    """Not for threads: whoever shares it holds a lock."""

    def __init__(self, most_per_hour: int) -> None:
        self._most = most_per_hour
        self._waiting: list[AlertNotice] = []
        #: On their way: nobody knows yet whether they arrive.
        self._taken: tuple[AlertNotice, ...] = ()
        self._sent_at: deque[float] = deque()
        self._retry_at = 0.0
        self._failures = 0

    def put(self, notices: Sequence[AlertNotice]) -> None:
        self._waiting = [*self._waiting, *notices][-MOST_WAITING:]

    @property
    def unsent(self) -> tuple[AlertNotice, ...]:
        """What waits, and what is on its way."""
        return (*self._taken, *self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def due_at(self, now: float) -> float | None:
        """When the next message may go; None: there is nothing to say."""
        if not self._waiting:
            return None
        while self._sent_at and self._sent_at[0] <= now - HOUR_S:
            self._sent_at.popleft()
        room_at = self._sent_at[0] + HOUR_S if len(self._sent_at) >= self._most else now
        return max(now, self._retry_at, room_at)

    def take(self) -> tuple[AlertNotice, ...]:
        """All that waits, for one message: `arrived` or `failed` says what became of it."""
        self._taken, self._waiting = tuple(self._waiting), []
        return self._taken

    def arrived(self, now: float) -> None:
        self._taken = ()
        self._sent_at.append(now)
        self._failures, self._retry_at = 0, 0.0

    def failed(self, taken: Sequence[AlertNotice], now: float) -> None:
        self._taken, self._waiting = (), [*taken, *self._waiting][-MOST_WAITING:]
        self._retry_at = now + min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(self._failures, 8))
        self._failures += 1
