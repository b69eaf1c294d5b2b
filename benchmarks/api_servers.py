"""Servers that count calls differently, for `benchmarks/api.py`: what each would still accept at a time that
is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

#: Over so long every server counts.
WINDOW_S = 60.0
#: When the first call may be made, by the clock that is moved by hand.
START = 1_700_000_017.0


class CountingServer:
    """Allows so many calls a minute, by the rule of its subclass. `limits`: (from when, limit), in order."""

    def __init__(self, limits: Sequence[tuple[float, int]]) -> None:
        self.limits = limits
        self.limit = limits[0][1]

    def at(self, now: float) -> None:
        self.limit = next(limit for since, limit in reversed(self.limits) if since <= now)

    def ask(self, now: float) -> float | None:
        """None: accepted; else the seconds until it would be."""
        raise NotImplementedError

    def remaining(self, now: float) -> int:
        raise NotImplementedError

    def resets_in_s(self, now: float) -> float:
        """Until all of it is there again."""
        raise NotImplementedError

    def allowed(self, start: float, end: float) -> float:
        """The most calls between the two. By the minute: what the limit comes to."""
        edges = [since for since, _ in self.limits] + [end]
        pairs = zip(self.limits, edges[1:], strict=True)
        return sum(
            limit * max(0.0, min(end, to) - max(start, since)) / WINDOW_S for (since, limit), to in pairs
        )


class Sliding(CountingServer):
    """So many in any minute."""

    def __init__(self, limits: Sequence[tuple[float, int]]) -> None:
        super().__init__(limits)
        self.recent: deque[float] = deque()

    def ask(self, now: float) -> float | None:
        while self.recent and self.recent[0] <= now - WINDOW_S:
            self.recent.popleft()
        if len(self.recent) >= self.limit:
            return self.recent[len(self.recent) - self.limit] + WINDOW_S - now
        self.recent.append(now)
        return None

    def remaining(self, now: float) -> int:
        return max(0, self.limit - sum(at > now - WINDOW_S for at in self.recent))

    def resets_in_s(self, now: float) -> float:
        return WINDOW_S if self.recent else 0.0


class Fixed(CountingServer):
    """So many from one full minute to the next."""

    def __init__(self, limits: Sequence[tuple[float, int]]) -> None:
        super().__init__(limits)
        self.window, self.used = 0.0, 0

    def ask(self, now: float) -> float | None:
        if now // WINDOW_S != self.window:
            self.window, self.used = now // WINDOW_S, 0
        if self.used >= self.limit:
            return (self.window + 1) * WINDOW_S - now
        self.used += 1
        return None

    def remaining(self, now: float) -> int:
        return max(0, self.limit - self.used)

    def resets_in_s(self, now: float) -> float:
        return WINDOW_S - now % WINDOW_S

    def allowed(self, start: float, end: float) -> float:
        # The first and the last window are cut off, but may be used up whole.
        first, last = start // WINDOW_S * WINDOW_S, -(-end // WINDOW_S) * WINDOW_S
        cut = self.limits[0][1] * (start - first) + self.limits[-1][1] * (last - end)
        return super().allowed(start, end) + cut / WINDOW_S


class Bucket(CountingServer):
    """So many a minute, evenly, and a reserve of `SHARE` minutes."""

    SHARE = 1.0

    def __init__(self, limits: Sequence[tuple[float, int]]) -> None:
        super().__init__(limits)
        self.level, self.seen = self.limit * self.SHARE, START

    def ask(self, now: float) -> float | None:
        self.level = min(self.limit * self.SHARE, self.level + self.limit * (now - self.seen) / WINDOW_S)
        self.seen = now
        if self.level < 1:
            return (1 - self.level) * WINDOW_S / self.limit
        self.level -= 1
        return None

    def remaining(self, now: float) -> int:
        return int(self.level)

    def resets_in_s(self, now: float) -> float:
        return (self.limit * self.SHARE - self.level) * WINDOW_S / self.limit

    def allowed(self, start: float, end: float) -> float:
        return super().allowed(start, end) + self.limits[0][1] * self.SHARE


class SmallBucket(Bucket):
    """The reserve is six seconds' worth."""

    SHARE = 0.1


SERVERS: dict[str, type[CountingServer]] = {
    "sliding": Sliding,
    "fixed": Fixed,
    "bucket": Bucket,
    "small bucket": SmallBucket,
}
