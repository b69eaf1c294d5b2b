"""How long the history index takes: made from nothing, brought up to date, and asked behind a million jobs.

    python benchmarks/history.py [--waiting 1000000] [--ended 200000] [--receipts 100000] [--folder DIR]

First `--receipts` receipts are read from nothing (goal: 100,000 in less than 10 s). Then `--waiting` and
`--ended` jobs are fed, and pages of 50 are asked for by every sort of filter, the first page and one far
down (goal: less than 100 ms in 95 of 100).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from conductor.model.job_filter import JobFilter
from conductor.model.receipt import OutputFact, Receipt, Usage
from conductor.model.spec import JobSpec, Output, to_line
from conductor.record.index.history import HistoryIndex
from conductor.record.index.schema import remove
from conductor.record.journal import Journal

NOW = 1_700_000_000.0
TASKS = ("media.cut", "media.join", "vision.analyse", "text.write")
CAUSES = ("timeout", "task_error", "cuda_oom", "bad_input")
PLACES = ("match", "holiday", "interview", "drone", "archive")
FILTERS: dict[str, JobFilter] = {
    "all": JobFilter(),
    "state:waiting": JobFilter(states=("waiting",)),
    "state:dead": JobFilter(states=("dead",)),
    "state:dead cause:timeout since": JobFilter(states=("dead",), causes=("timeout",), since=NOW + 100_000),
    "task:vision.* state:done": JobFilter(tasks=("vision.*",), states=("done",)),
    "node:studio7": JobFilter(nodes=("studio7",)),
    "since (a part of the ended)": JobFilter(since=NOW + 150_000.5, states=("done",)),
    "until (all that wait)": JobFilter(until=NOW + 1.0),
    "file: one": JobFilter(files=("match_000777",)),
    "file: common": JobFilter(files=("holiday",)),
    "file: common, state:dead": JobFilter(files=("drone",), states=("dead",)),
    "file: two letters": JobFilter(files=("77",)),
    "text in a message": JobFilter(texts=("no word from frame 1777",)),
    "text in every message": JobFilter(texts=("no word",)),
    "text nowhere": JobFilter(texts=("xylophone",)),
    "id": JobFilter(ids=("0000777",)),
}


def an_id(number: int) -> str:
    return f"{number * 7919 % 9_999_991:07d}job{number:07d}"


def a_file(number: int) -> str:
    return f"{PLACES[number % len(PLACES)]}_{number:06d} (night).mp4"


def a_manifest(folder: Path, name: str, first: int, last: int) -> None:
    manifest = folder / name
    with manifest.open("wb") as lines:
        for n in range(first, last):
            spec = JobSpec(v=1, id=an_id(n), workflow="night", task=TASKS[n % len(TASKS)],
                           reads=(f"scratch:in/{a_file(n)}",), args={"preset": "slow", "crf": 20},
                           writes=(Output(path=f"published:out/{n}.mp4", bytes=1_000_000),))  # fmt: skip
            lines.write(to_line(spec) + b"\n")
    Journal(folder / "receipts").dispatched(manifest, "night", last - first, "g")


def receipts(folder: Path, first: int, last: int) -> None:
    dice = random.Random(7)
    with (folder / "receipts" / f"studio-{first}.jsonl").open("wb") as lines:
        for n in range(first, last):
            is_ok = dice.random() < 0.9
            at = NOW + n
            receipt = Receipt(
                v=1, job_id=an_id(n), attempt=1, token=f"{n:08x}", workflow="night",
                task=TASKS[n % len(TASKS)], outcome="ok" if is_ok else "failed",
                cause=None if is_ok else CAUSES[n % len(CAUSES)],
                message="" if is_ok else f"no word from frame {n} on", started_at=at, ended_at=at + 60,
                node=f"studio{n % 8}", worker="w", devices=(f"gpu{n % 2}",), usage=Usage(vram_mib=9000),
                outputs=an_output(n) if is_ok else (),
            )  # fmt: skip
            lines.write(msgspec.json.encode(receipt) + b"\n")


def an_output(number: int) -> tuple[OutputFact, ...]:
    return (OutputFact(path=f"published:out/{number}.mp4", bytes=1_000_000, sha256="0" * 64),)


def timed(work: Callable[[], object]) -> dict[str, float]:
    """By the clock, of the processor, and how long this thread could have run and others did: the machine may
    be busy with them."""
    began, own, queued = time.perf_counter(), time.process_time(), waited_for_a_core()
    work()
    return {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - own,
        "queued_s": waited_for_a_core() - queued,
    }


def waited_for_a_core() -> float:
    """Seconds, by the scheduler's account of this thread; 0 where there is none."""
    file = Path("/proc/thread-self/schedstat")
    return int(file.read_text("ascii").split()[1]) / 1e9 if file.exists() else 0.0


def ask(index: HistoryIndex, wanted: JobFilter, times: int) -> tuple[list[float], int]:
    """Milliseconds of the first page, and of one that lies ten pages on."""
    took: list[float] = []
    cursor: int | None = None
    count = 0
    for turn in range(times):
        began = time.perf_counter()
        found = index.find(wanted, 50, cursor)
        index.rows(n for _, n in found.keys)
        took.append((time.perf_counter() - began) * 1000)
        count = max(count, found.count)
        cursor = found.cursor if turn % 10 else None
    return took, count


def receipts_of_one(index: HistoryIndex, folder: Path, ended: int, times: int) -> dict[str, float]:
    """At their places, and as they are found where there is no index."""
    ids = [an_id(n * 7919 % ended) for n in range(times)]
    without = HistoryIndex(folder / "nothing", folder / "receipts")
    took: dict[str, float] = {}
    for name, asked in (("indexed", index), ("searched", without)):
        each: list[float] = []
        for job_id in ids:
            began = time.perf_counter()
            assert len(asked.receipts_of(job_id)) == 1
            each.append((time.perf_counter() - began) * 1000)
        took[name] = statistics.median(each)
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--ended", type=int, default=200_000)
    parser.add_argument("--receipts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="history"))
    figures: dict[str, object] = {}
    try:
        (folder / "receipts").mkdir(parents=True, exist_ok=True)
        index = HistoryIndex(folder / "state", folder / "receipts")
        receipts(folder, 0, options.receipts)
        figures["receipts_from_nothing"] = timed(index.refresh)
        remove(index.file)
        receipts(folder, options.receipts, options.ended)
        a_manifest(folder, "night.jsonl", 0, options.ended + options.waiting)
        figures["all_from_nothing"] = timed(index.refresh)
        figures["nothing_new"] = timed(index.refresh)
        figures["receipts_of_one_ms"] = receipts_of_one(index, folder, options.ended, options.times)
        figures["index_mib"] = index.file.stat().st_size / 2**20
        every: list[float] = []
        for name, wanted in FILTERS.items():
            took, count = ask(index, wanted, options.times)
            every += took
            figures[name] = {"p50_ms": statistics.median(took), "most_ms": max(took), "count": count}
        figures["p95_ms"] = statistics.quantiles(every, n=20)[-1]
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
