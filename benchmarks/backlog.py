"""Does a long backlog cost anything: `python benchmarks/backlog.py [--lengths 10,1000,1000000] [--json FILE]
[--plot]`.

Behind N jobs of 100 classes that wait for a lane without workers: no-op jobs a second, idle to the first line
of a body, one tick (observe and decide), what `status` and `explain` read, the command `conductor status`
whole, an id found by its first letters, lines dispatched a second, bytes of Redis a waiting job. `spread` in
the JSON has, for each, the lowest and the highest (of ticks and looks: the tenth and ninetieth percentile).
Six lengths take seven minutes. --plot draws benchmarks/backlog.png and .svg, in the peers' environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import peer_env
import throughput
from redis import Redis
from throughput import BACKLOG, ThroughputBench

from conductor.adapters.rates.rates import redis_rates
from conductor.base.settings.limits import limits_of
from conductor.core.admission.admission import decide
from conductor.core.admission.lookahead import next_look
from conductor.dispatch.dispatch import dispatch
from conductor.model.identity import content_id
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.snapshot import Lookahead
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record.index.history import HistoryIndex
from conductor.tick.observe import observe
from conductor.views.explain_job import explained
from conductor.views.status import gather

HERE = Path(__file__).resolve().parent
CLASSES = 100
CHUNK = 500
NOOPS, ROUNDS, STAMPS, TICKS, LOOKS, COMMANDS, LINES = 2_000, 3, 100, 50, 15, 5, 20_000
#: Median, and from where to where.
Figure = tuple[float, float, float]


def fillers(bench: ThroughputBench, count: int) -> Iterator[Entry]:
    """Jobs of the io lane, which has no workers here: they wait."""
    for n in range(count):
        spec = spec_of(n)
        yield Entry(
            job_id=spec.id, line=to_line(spec), job_class=class_of(spec, bench.catalogue[spec.task], BACKLOG)
        )


def spec_of(n: int, of: str = "fillers") -> JobSpec:
    args = {"n": n, "of": of}
    job_id, needs = content_id("bench", "bench.noop", args, {}), Needs(ram_mib=100 + n % CLASSES)
    return JobSpec(v=1, id=job_id, workflow="bench", task="bench.noop", lane="io", needs=needs, args=args)


def took_ms(what: Callable[[], object], times: int) -> Figure:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        took.append((time.perf_counter() - began) * 1000)
    return figure(sorted(took), 3)


def figure(values: Sequence[float], digits: int = 1) -> Figure:
    """Of many the tenth and the ninetieth percentile, of few the lowest and the highest."""
    cut = len(values) // 10
    low, high = (values[cut], values[-1 - cut]) if cut else (values[0], values[-1])
    return round(statistics.median(values), digits), round(low, digits), round(high, digits)


def at_length(length: int, url: str) -> dict[str, Any]:
    peer_env.emptied(url)
    bench, client = ThroughputBench(throughput.new_folder(), cpu=2, url=url), Redis.from_url(url)
    with bench.open() as ledger:
        before, lines, began = used(client), 0, time.monotonic()
        waiting = fillers(bench, length)
        while chunk := list(islice(waiting, CHUNK)):
            ledger.intake.put(BACKLOG, chunk)
            lines += sum(len(entry.line) for entry in chunk)
        made_s = time.monotonic() - began
        row: dict[str, Any] = {
            "length": length,
            "bytes_a_job": round((used(client) - before - lines) / length, 1),
        }
        print(f"{length} waiting, made and put in {made_s:.1f} s", file=sys.stderr)
        # The server writes its file anew after so much growth, with a core of its own: not what a long
        # backlog costs.
        throughput.until(lambda: not peer_env.is_rewriting(client))
        found = looks(bench, ledger, client) | runs(bench, ledger) | dispatched(bench, ledger)
        spread = {key: [low, high] for key, (_, low, high) in found.items()}
        return row | {key: median for key, (median, _, _) in found.items()} | {"spread": spread}


def used(client: Redis) -> int:
    memory: dict[str, int] = client.info("memory")  # pyright: ignore[reportAssignmentType]
    return memory["used_memory"]


def looks(bench: ThroughputBench, ledger: Ledger, client: Redis) -> dict[str, Figure]:
    """What a tick and a reader cost, from this process: the conductor's own go on beside it."""
    limits, rates = limits_of(bench.settings), redis_rates(client, ledger.calls, bench.settings.rates)

    look = Lookahead()

    def tick() -> None:
        nonlocal look
        snapshot, candidates = observe(ledger, rates, look)
        look = next_look(
            look, candidates, decide(snapshot, candidates, limits), has_chains=bool(snapshot.chains)
        )

    return {
        "tick_ms": took_ms(tick, TICKS),
        "status_ms": took_ms(lambda: gather(ledger, None), LOOKS),
        "explain_ms": took_ms(lambda: explain(bench, ledger), LOOKS),
        "find_ms": took_ms(lambda: ledger.jobs.find(spec_of(3).id[:8]), COMMANDS),
        "command_ms": took_ms(lambda: command(bench, "status"), COMMANDS),
    }


def command(bench: ThroughputBench, *words: str) -> None:
    argv = [sys.executable, "-P", "-m", "conductor", *words]
    subprocess.run(argv, cwd=bench.settings.project, stdout=subprocess.DEVNULL, check=True)


def explain(bench: ThroughputBench, ledger: Ledger) -> object:
    job = ledger.jobs.job(spec_of(3).id)
    assert job is not None, "it was put"
    history = HistoryIndex(bench.settings.state_dir, bench.settings.receipts_dir)
    return explained(ledger, job, history, bench.settings.logs_dir)


def runs(bench: ThroughputBench, ledger: Ledger) -> dict[str, Figure]:
    parts = [bench.run(ledger, [bench.spec("bench.noop") for _ in range(NOOPS)]) for _ in range(ROUNDS)]
    delays = sorted(delay * 1000 for delay in throughput.idle_delays(bench, ledger, STAMPS))
    p99 = round(delays[int(len(delays) * 0.99)], 2)
    return {
        "noop_a_second": figure(sorted(NOOPS / part["all_s"] for part in parts)),
        "idle_p50_ms": figure(delays, 2),
        "idle_p99_ms": (p99, p99, round(delays[-1], 2)),
    }


def dispatched(bench: ThroughputBench, ledger: Ledger) -> dict[str, Figure]:
    """Last, for what it dispatches waits with the others from then on."""
    rates: list[float] = []
    for part in range(ROUNDS):
        path = bench.settings.project / f"more{part}.jsonl"
        manifests.write(path, (spec_of(n, f"more{part}") for n in range(LINES)))
        began = time.perf_counter()
        dispatch(ledger, path, BACKLOG, bench.catalogue, bench.settings.receipts_dir)
        rates.append(LINES / (time.perf_counter() - began))
    return {"dispatched_a_second": figure(sorted(rates), 0)}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lengths", default="10,100,1000,10000,100000,1000000")
    options.add_argument("--json", type=Path)
    options.add_argument("--plot", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="backlog-") as name, peer_env.shared_valkey(Path(name)) as url:
        rows = [at_length(int(length), url) for length in given.lengths.split(",")]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items() if key != "spread"))
    if given.json:
        given.json.write_text(json.dumps(rows), encoding="utf-8")
    if given.plot:
        argv = [str(peer_env.python_of_peers()), str(HERE / "peer_apps" / "plot.py"), str(HERE / "backlog")]
        subprocess.run(argv, input=json.dumps(rows), text=True, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
