"""Celery, prefork: as it comes, and with acks_late and results in Redis, the fair peer in what it
promises.
"""

from __future__ import annotations

import os

import bodies
from celery import Celery

URL = os.environ["BENCH_URL"].replace("unix://", "redis+socket://")
IS_LATE = os.environ["BENCH_VARIANT"] == "acks_late"

app = Celery("bench", broker=URL, backend=URL if IS_LATE else None)
app.conf.update(task_acks_late=IS_LATE, task_ignore_result=not IS_LATE, task_reject_on_worker_lost=IS_LATE)
CASES = {
    name: app.task(name=name)(body)
    for name, body in {"noop": bodies.noop, "sleep": bodies.sleep, "stamp": bodies.stamp}.items()
}


def workers(variant: str, processes: int) -> list[list[str]]:
    return [["celery", "-A", "on_celery", "worker", "-P", "prefork", "-c", str(processes), "-l", "ERROR"]]


def send(case: str, *args: int) -> None:
    CASES[case].delay(*args)


def send_many(case: str, count: int) -> None:
    for _ in range(count):
        CASES[case].delay()
