"""The connection to Redis as its threads meet it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from conductor.adapters.redis.client import connect


def test_a_thread_that_waits_for_redis_does_not_fall_over_the_end_of_the_client(redis_url: str):
    with connect(redis_url) as other, ThreadPoolExecutor() as threads:
        begun = threading.Event()

        def waits() -> object:
            begun.set()
            return client.blpop(["end"], timeout=10)

        with connect(redis_url) as client:
            waiting = threads.submit(waits)
            begun.wait()
            while not any(c["cmd"] == "blpop" for c in other.client_list()):
                pass
        other.rpush("end", "said")
        assert waiting.result() == (b"end", b"said")
