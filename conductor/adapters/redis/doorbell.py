"""The doorbell of a node: a channel, on which nobody listens while all its workers are there.

conductor:handed_over:NODE   channel   rung by the step that hands over to one of its queues (hand_over.lua)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from conductor.adapters.redis.client import MAX_BLOCK_S, translating
from conductor.adapters.redis.scripts import Scripts


class RedisDoorbell:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    @contextmanager
    def listening(self, node: str) -> Generator[Callable[[float], bool]]:
        client = self._scripts.client
        hearing = client.pubsub()

        def wait(timeout_s: float) -> bool:
            """In slices, so that a dead connection is noticed."""
            end = time.monotonic() + timeout_s
            while (left := end - time.monotonic()) > 0:
                with translating(client):
                    said = hearing.get_message(timeout=min(left, MAX_BLOCK_S))
                if said is not None and said["type"] != "pong":
                    # Also «subscribed», which is said again by a new connection: the old one may have missed
                    # a ring.
                    return True
            return False

        try:
            with translating(client):
                hearing.subscribe(self._scripts.keys.handed_over(node))
                hearing.get_message(timeout=MAX_BLOCK_S)
            yield wait
        finally:
            hearing.close()
