"""RQ: one process a worker; a child forked for each job, or none (SimpleWorker)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import bodies
from redis import Redis
from rq import Queue

CASES = {"noop": bodies.noop, "sleep": bodies.sleep, "stamp": bodies.stamp, "infer": bodies.infer}


def workers(variant: str, processes: int) -> list[list[str]]:
    kind = {"fork": "rq.worker.Worker", "simple": "rq.worker.SimpleWorker"}[variant]
    return [["rq", "worker", "--url", os.environ["BENCH_URL"], "--worker-class", kind, "--quiet"]] * processes


@cache
def queue() -> Queue:
    return Queue(connection=Redis.from_url(os.environ["BENCH_URL"]))


def send(case: str, *args: int) -> None:
    queue().enqueue(CASES[case], *args)


def send_many(case: str, count: int) -> None:
    for first in range(0, count, 500):
        body: Callable[..., None] = CASES[case]
        queue().enqueue_many([Queue.prepare_data(body) for _ in range(min(500, count - first))])
