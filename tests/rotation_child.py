"""Processes for the tests of rotation: `write FOLDER NAME COUNT` appends receipts and lines of a log, as a
worker does; `rotate FOLDER SEED` puts all away that is there, again and again, in processes that are killed
meanwhile, until its stdin is closed.

Each says «ready» on stdout, and begins when a line comes on stdin."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
from itertools import count
from pathlib import Path

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.logs.log_file import LogFile
from conductor.base.settings.settings import load
from conductor.model.receipt import Receipt
from conductor.recovery.rotate import rotate

LOG = "workers.jsonl"
#: Small, so that a log is put aside every few lines.
LOG_BYTES = 600
#: So many files that none is dropped for its number.
KEPT = 10_000


def write(folder: Path, name: str, lines: int) -> None:
    layout = load(folder).layout
    receipts, log = FileReceiptLog(layout.receipts_dir, name), LogFile(layout.logs_dir / LOG, LOG_BYTES, KEPT)
    wait()
    for n in range(lines):
        receipts.append(
            Receipt(v=1, job_id=f"{name}-{n:06}", attempt=1, workflow="w", task="t", outcome="ok",
                    started_at=1.0, ended_at=2.0, node="here", worker=name)
        )  # fmt: skip
        log.write(f'{{"writer":"{name}","n":{n}}}\n')
    assert not log.lost
    receipts.close()
    log.stop()


def rotates(folder: Path, seed: str) -> None:
    """Each in a process that is killed at a moment which is drawn."""
    layout, chance = load(folder).layout, random.Random(seed)
    wait()
    for number in count():
        child = os.fork()
        if not child:
            for n in count():
                rotate(layout, 1e12, f"{number:04}-{n:06}")
        is_over = bool(select.select([sys.stdin], [], [], chance.uniform(0.0, 0.05))[0])
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if is_over:
            return


def wait() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    # What a killed process has written stays: only a power cut would need it, and a busy disk takes seconds.
    os.fsync = lambda fd: None  # type: ignore[assignment]
    what, folder, name, *more = sys.argv[1:]
    if what == "write":
        write(Path(folder), name, int(more[0]))
    else:
        rotates(Path(folder), name)
