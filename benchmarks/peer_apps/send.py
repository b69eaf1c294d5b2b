"""Runs in the peers' environment: `send.py workers`, `send.py many CASE COUNT`, `send.py one-by-one COUNT
PAUSE_S`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main(verb: str, *args: str) -> None:
    peer: Any = importlib.import_module(os.environ["BENCH_APP"])
    if verb == "workers":
        print(json.dumps(peer.workers(os.environ["BENCH_VARIANT"], int(os.environ["BENCH_PROCESSES"]))))
    elif verb == "many":
        print(time.monotonic_ns(), flush=True)
        peer.send_many(args[0], int(args[1]))
    else:
        one_by_one(peer, int(args[0]), float(args[1]))


def one_by_one(peer: Any, count: int, pause_s: float) -> None:
    """Each is sent a moment after the one before has run: the workers are idle, and have settled."""
    marks = os.environ["BENCH_MARKS"]
    for n in range(count):
        peer.send("stamp", time.monotonic_ns())
        while Path(marks).stat().st_size < 8 * (n + 1):
            time.sleep(0.0005)
        time.sleep(pause_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
