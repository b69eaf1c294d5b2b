"""Huey: processes, no results, no acknowledgement: what runs when a worker dies is lost."""

from __future__ import annotations

import os

import bodies
from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_URL"], results=False)
CASES = {
    name: huey.task(name=name)(body)
    for name, body in {"noop": bodies.noop, "sleep": bodies.sleep, "stamp": bodies.stamp}.items()
}


def workers(variant: str, processes: int) -> list[list[str]]:
    return [["huey_consumer", "on_huey.huey", "-k", "process", "-w", str(processes), "-q"]]


def send(case: str, *args: int) -> None:
    CASES[case](*args)


def send_many(case: str, count: int) -> None:
    for _ in range(count):
        CASES[case]()
