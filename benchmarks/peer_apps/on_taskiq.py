"""taskiq: coroutines on a list in Redis, no isolation, no acknowledgement."""

from __future__ import annotations

import asyncio
import os

import bodies
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["BENCH_URL"])


@broker.task(task_name="noop")
async def noop() -> None:
    bodies.noop()


@broker.task(task_name="sleep")
async def sleep() -> None:
    await bodies.sleep_on_the_loop()


@broker.task(task_name="stamp")
async def stamp(sent_ns: int) -> None:
    bodies.stamp(sent_ns)


CASES = {"noop": noop, "sleep": sleep, "stamp": stamp}
LOOP = asyncio.new_event_loop()


def workers(variant: str, processes: int) -> list[list[str]]:
    return [["taskiq", "worker", "on_taskiq:broker", "--workers", str(processes), "--log-level", "ERROR"]]


def send(case: str, *args: int) -> None:
    LOOP.run_until_complete(CASES[case].kiq(*args))


def send_many(case: str, count: int) -> None:
    async def all_of_them() -> None:
        for _ in range(count):
            await CASES[case].kiq()

    LOOP.run_until_complete(all_of_them())
