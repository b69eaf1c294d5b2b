"""arq: coroutines, found by polling; ten milliseconds instead of its half second, or its latency would be
the poll.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import bodies
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

SETTINGS = RedisSettings(unix_socket_path=os.environ["BENCH_URL"].removeprefix("unix://"))


async def noop(ctx: dict[str, Any]) -> None:
    bodies.noop()


async def sleep(ctx: dict[str, Any]) -> None:
    await bodies.sleep_on_the_loop()


async def stamp(ctx: dict[str, Any], sent_ns: int) -> None:
    bodies.stamp(sent_ns)


class WorkerSettings:
    functions = (noop, sleep, stamp)
    redis_settings = SETTINGS
    poll_delay = 0.010
    keep_result = 0


LOOP = asyncio.new_event_loop()
_pool: list[ArqRedis] = []


def pool() -> ArqRedis:
    if not _pool:
        _pool.append(LOOP.run_until_complete(create_pool(SETTINGS)))
    return _pool[0]


def workers(variant: str, processes: int) -> list[list[str]]:
    return [["arq", "on_arq.WorkerSettings"]] * processes


def send(case: str, *args: int) -> None:
    LOOP.run_until_complete(pool().enqueue_job(case, *args))


def send_many(case: str, count: int) -> None:
    redis = pool()

    async def all_of_them() -> None:
        for _ in range(count):
            await redis.enqueue_job(case)

    LOOP.run_until_complete(all_of_them())
