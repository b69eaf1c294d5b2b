"""What every peer runs: the same few microseconds of work, and eight bytes into a file that the driver
watches.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache
from typing import Any

SLEEP_S = 0.010


@cache
def marks() -> int:
    return os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def mark(value: int = 0) -> None:
    os.write(marks(), value.to_bytes(8, "little"))


def noop() -> None:
    mark()


def sleep() -> None:
    time.sleep(SLEEP_S)
    mark()


async def sleep_on_the_loop() -> None:
    """For the peers that run coroutines: as their users would write it."""
    await asyncio.sleep(SLEEP_S)
    mark()


def stamp(sent_ns: int) -> None:
    """Nanoseconds from the sending to this first line; the clock is the same in all processes of a host."""
    mark(time.monotonic_ns() - sent_ns)


@cache
def session() -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], providers=["CPUExecutionProvider"])


def infer() -> None:
    import numpy

    model = session()
    given = model.get_inputs()[0]
    model.run(None, {given.name: numpy.zeros(given.shape, dtype=numpy.float32)})
    mark()
