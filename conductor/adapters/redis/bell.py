"""The bell in Redis: a list never longer than one, on which the conductor blocks; and Redis's clock."""

from __future__ import annotations

import time

from conductor.adapters.redis.client import MAX_BLOCK_S, translating
from conductor.adapters.redis.scripts import Scripts


class RedisBell:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis = scripts.client

    def ring(self) -> None:
        self._scripts.run("ring")

    def wait(self, timeout_s: float) -> bool:
        """True when it rang. Blocks in slices, so that a dead connection is noticed."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            with translating(self._redis):
                # 0 would mean for ever.
                if (
                    self._redis.blpop([self._scripts.keys.bell], timeout=max(0.001, min(left, MAX_BLOCK_S)))
                    is not None
                ):
                    return True
        return False

    def now(self) -> float:
        seconds, micros = self._scripts.run("now")
        return int(seconds) + int(micros) / 1e6
