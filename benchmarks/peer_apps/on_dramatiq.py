"""Dramatiq: processes with one thread each, or with eight."""

from __future__ import annotations

import os

import bodies
import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_URL"]))
CASES = {
    name: dramatiq.actor(body, actor_name=name)
    for name, body in {"noop": bodies.noop, "sleep": bodies.sleep, "stamp": bodies.stamp}.items()
}


def workers(variant: str, processes: int) -> list[list[str]]:
    return [["dramatiq", "on_dramatiq", "-p", str(processes), "-t", variant.removeprefix("t")]]


def send(case: str, *args: int) -> None:
    CASES[case].send(*args)


def send_many(case: str, count: int) -> None:
    for _ in range(count):
        CASES[case].send()
