"""Does a long backlog cost anything: `python benchmarks/backlog.py [--lengths 10,1000,1000000] [--json FILE] [--plot]`.

Behind N jobs of 100 classes that wait for a lane without workers: no-op jobs a second, idle to the first line of a
body, one tick (observe and decide), status and explain, lines dispatched a second, bytes of Redis a waiting job.
--plot draws benchmarks/backlog.png and .svg, in the peers' environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import peer_env
import throughput
from redis import Redis
from throughput import BACKLOG, Bench

from conductor.adapters.rates import redis_rates
from conductor.classes import class_of
from conductor.core.admission import decide
from conductor.limits import limits_of
from conductor.model.entries import Entry
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.observe import observe
from conductor.ports import Ledger
from conductor.views.explain_job import explained
from conductor.views.status import gather

HERE = Path(__file__).resolve().parent
CLASSES = 100
CHUNK = 5_000
NOOPS, STAMPS, TICKS = 2_000, 100, 30


def fillers(bench: Bench, count: int) -> Iterator[Entry]:
    """Jobs of the io lane, which has no workers here: they wait."""
    for n in range(count):
        needs = Needs(ram_mib=100 + n % CLASSES)
        spec = JobSpec(
            v=1, id=f"filler{n:08}", workflow="bench", task="bench.noop", lane="io", needs=needs, args={"n": n}
        )
        yield Entry(job_id=spec.id, line=to_line(spec), job_class=class_of(spec, bench.catalogue[spec.task], BACKLOG))


def median_ms(what: Callable[[], object], times: int) -> float:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 3)


def at_length(length: int, url: str) -> dict[str, Any]:
    peer_env.emptied(url)
    bench, client = Bench(throughput.new_folder(), cpu=2, url=url), Redis.from_url(url)
    with bench.open() as ledger:
        before, lines, began = used(client), 0, time.monotonic()
        waiting = fillers(bench, length)
        while chunk := list(islice(waiting, CHUNK)):
            ledger.backlog.put(BACKLOG, chunk)
            lines += sum(len(entry.line) for entry in chunk)
        made_s = time.monotonic() - began
        row = {"length": length, "bytes_a_job": round((used(client) - before - lines) / length, 1)}
        print(f"{length} waiting, made and put in {made_s:.1f} s", file=sys.stderr)
        return row | looks(bench, ledger, client) | runs(bench, ledger)


def used(client: Redis) -> int:
    memory: dict[str, int] = client.info("memory")  # pyright: ignore[reportAssignmentType]
    return memory["used_memory"]


def looks(bench: Bench, ledger: Ledger, client: Redis) -> dict[str, Any]:
    """What a tick and a reader cost, from this process: the conductor's own go on beside it."""
    limits, rates = limits_of(bench.settings), redis_rates(client, ledger.attempts, bench.settings.rates)

    def tick() -> None:
        snapshot, candidates = observe(ledger, rates)
        decide(snapshot, candidates, limits)

    return {
        "tick_ms": median_ms(tick, TICKS),
        "status_ms": median_ms(lambda: gather(ledger, None), 5),
        "explain_ms": median_ms(lambda: explain(bench, ledger), 5),
    }


def explain(bench: Bench, ledger: Ledger) -> object:
    job = ledger.backlog.job("filler00000003")
    assert job is not None, "it was put"
    return explained(ledger, job, bench.settings.receipts_dir)


def runs(bench: Bench, ledger: Ledger) -> dict[str, Any]:
    part = bench.run(ledger, [bench.spec("bench.noop") for _ in range(NOOPS)])
    delays = sorted(throughput.idle_delays(bench, ledger, STAMPS))
    return {
        "noop_a_second": round(NOOPS / part["all_s"], 1),
        "idle_p50_ms": round(statistics.median(delays) * 1000, 2),
        "idle_p99_ms": round(delays[int(len(delays) * 0.99)] * 1000, 2),
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lengths", default="10,1000,100000,1000000")
    options.add_argument("--json", type=Path)
    options.add_argument("--plot", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="backlog-") as name, peer_env.shared_valkey(Path(name)) as url:
        rows = [at_length(int(length), url) for length in given.lengths.split(",")]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows), encoding="utf-8")
    if given.plot:
        command = [str(peer_env.python_of_peers()), str(HERE / "peer_apps" / "plot.py"), str(HERE / "backlog")]
        subprocess.run(command, input=json.dumps(rows), text=True, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
