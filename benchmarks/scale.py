"""How far one leader and one Redis go: `python benchmarks/scale.py [long] [short] [--nodes 1,10,64,100,1000]
[--json FILE]`.

The conductor's own loop on a real Valkey, with so many nodes in one fleet. «long»: nodes of 8 devices, all
full; in a second between two ticks as many jobs end as jobs of a minute on so many devices do, and others
come into their place. «short»: nodes of 4 workers and jobs that do nothing; each tick hands over as many as
it may, and workers begin and end up to 16 in a turn. Printed is what a tick, a report and a job cost: CPU of
the leader and of the server, commands with those of the Lua steps, bytes over the wire, memory. What nodes
and workers do is done here in their place, long jobs one at a time: start, one renewal, end. CPU times: a
busy machine changes them less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import peer_env
from live_tick import CONFIG, TickBench, a_class
from loguru import logger
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.open_ledger import connect
from conductor.analysis.replay.recording import Recorder
from conductor.base.redis_keys import PLAIN
from conductor.base.settings.limits import limits_of
from conductor.base.settings.settings import load
from conductor.core.admission.admission import MOST_ADMITTED
from conductor.model.ledger_entries import HeldReport, WorkerTurn
from conductor.model.receipt import Receipt
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import Needs
from conductor.tick.learned_needs import NeedsLearner, policy_of

DEVICES, CORES, CLASSES, JOB_S = 8, 64, 100, 60.0
#: So many wait for each device: the backlog never runs dry.
WAITING_EACH = 4
WORKERS, A_TURN = 4, 16
SHORT = JobClass(id="short", backlog="b", task="bench.noop", lane="cpu", needs=Needs(), duration_s=0.001)
WARM, TICKS, REPORT_TTL_S = 4, 12, 3600.0


class Fleet:
    """A `TickBench` whose one report is that of many nodes, and what the server has been asked since."""

    def __init__(self, bench: TickBench, nodes: int) -> None:
        self.bench, self.nodes = bench, nodes
        self.names = [f"node{n:05}" for n in range(nodes)]
        self.devices, self.cores = DEVICES, CORES

    def report(self, name: str) -> NodeReport:
        one = self.bench.report(self.devices, self.cores)
        queues = tuple(replace(q, queue=q.queue.replace("bench", name)) for q in one.queues)
        volumes = tuple(replace(v, filesystem=f"{name}-{v.root}") for v in one.volumes)
        return replace(one, node=name, host=name, queues=queues, volumes=volumes)

    def publish(self, first: int = 0, count: int | None = None) -> None:
        """All, or so many from that one on."""
        first %= self.nodes
        for name in islice(cycle(self.names), first, first + (count or self.nodes)):
            self.bench.world.reports.publish(self.report(name), REPORT_TTL_S)

    def asked(self, what: Callable[[], Any]) -> dict[str, float]:
        """What the server had to do for it: commands, bytes in and out, CPU seconds; and memory after it."""
        before = self._counters()
        what()
        return {name: value - before[name] for name, value in self._counters().items()}

    def _counters(self) -> dict[str, float]:
        stats: dict[str, float] = self.bench.client.info("stats")  # pyright: ignore[reportAssignmentType]
        memory: dict[str, float] = self.bench.client.info("memory")  # pyright: ignore[reportAssignmentType]
        return {
            "commands": stats["total_commands_processed"],
            "bytes": stats["total_net_input_bytes"] + stats["total_net_output_bytes"],
            "server_s": self.bench.server_s(),
            "memory": memory["used_memory"],
        }


def measured(
    folder: Path, url: str, nodes: int, rows: Callable[[Fleet], dict[str, float]]
) -> dict[str, float]:
    (folder / "conductor.toml").write_text(CONFIG.format(url=url), encoding="utf-8")
    settings = load(folder)
    peer_env.emptied(url)
    FileReceiptLog(settings.receipts_dir, "before").append(an_end("yesterday", a_class(0).task))
    with (
        connect(url) as client,
        Recorder(folder / f"ticks{nodes}", 64 << 20) as recorder,
        NeedsLearner(settings.layout, policy_of(settings.learning), {}, limits_of(settings)) as learning,
    ):
        learning.read()  # the kind is known: of one of which no receipt tells few begin on a device
        return rows(Fleet(TickBench(settings, client, recorder, learning), nodes))


def long_jobs(fleet: Fleet) -> dict[str, float]:
    bench, nodes = fleet.bench, fleet.nodes
    fleet.publish()
    reports = fleet.asked(fleet.publish)
    waiting = nodes * DEVICES * WAITING_EACH
    put = fleet.asked(lambda: bench.put([a_class(i) for i in range(CLASSES)], waiting))
    bench.settled()
    fill(bench, nodes)
    ends = max(1, round(nodes * DEVICES / JOB_S))
    ticks, jobs = list[dict[str, float]](), list[dict[str, float]]()
    for n in range(WARM + TICKS):
        ended = fleet.asked(partial(end, bench, in_state(bench, "running")[:ends]))
        tick = fleet.asked(lambda: ticks.append(bench.tick()))
        ticks[-1] |= {"commands": tick["commands"], "bytes": tick["bytes"]}
        admitted = in_state(bench, "admitted")
        begun = fleet.asked(partial(begin, bench, admitted))
        if admitted:
            jobs.append({name: ended[name] / ends + begun[name] / len(admitted) for name in ended})
        bench.put([a_class(i) for i in range(CLASSES)][n % CLASSES :], ends)
        if n % 2 == 0:
            fleet.publish()
    ticks, jobs = ticks[WARM:], jobs[WARM:]
    return {
        "nodes": nodes,
        "tick_ms": round(median(ticks, "all"), 2),
        "tick_server_ms": round(median(ticks, "server"), 2),
        "tick_commands": median(ticks, "commands"),
        "tick_kib": round(median(ticks, "bytes") / 1024, 1),
        "report_kib": round(reports["bytes"] / nodes / 1024, 2),
        "report_server_us": round(reports["server_s"] / nodes * 1e6, 1),
        "job_commands": round(median(jobs, "commands"), 1),
        "job_kib": round(median(jobs, "bytes") / 1024, 2),
        "job_server_us": round(median(jobs, "server_s") * 1e6, 1),
        "job_memory_bytes": round(put["memory"] / waiting),
    }


def short_jobs(fleet: Fleet) -> dict[str, float]:
    bench, nodes = fleet.bench, fleet.nodes
    fleet.devices, fleet.cores = 0, WORKERS
    fleet.publish()
    workers = {f"cpu-{name}": f"w-{name}" for name in fleet.names}
    all_turns(bench, workers, -1)  # from now on it is known how short they are
    bench.put([SHORT], MOST_ADMITTED * (WARM + TICKS + 2))
    bench.settled()
    ticks, jobs = list[dict[str, float]](), list[dict[str, float]]()
    for n in range(WARM + TICKS):
        tick = fleet.asked(lambda: ticks.append(bench.tick()))
        ticks[-1] |= {"commands": tick["commands"]}
        admitted = in_state(bench, "admitted")
        ticks[-1]["jobs"] = len(admitted)
        asked = fleet.asked(partial(all_turns, bench, workers, n))
        jobs.append({name: value / max(1, len(admitted)) for name, value in asked.items()})
        fleet.publish(n * max(1, nodes // 10), max(1, nodes // 10))
    ticks, jobs = ticks[WARM:], jobs[WARM:]
    each = median(ticks, "jobs")
    return {
        "nodes": nodes,
        "workers": nodes * WORKERS,
        "tick_ms": round(median(ticks, "all"), 2),
        "tick_jobs": each,
        "tick_us_a_job": round(median(ticks, "all") / each * 1e3, 1),
        "tick_commands_a_job": round(median(ticks, "commands") / each, 1),
        "tick_server_us_a_job": round(median(ticks, "server") / each * 1e3, 1),
        "turns_commands_a_job": round(median(jobs, "commands"), 1),
        "turns_server_us_a_job": round(median(jobs, "server_s") * 1e6, 1),
    }


def all_turns(bench: TickBench, workers: Mapping[str, str], tick: int) -> None:
    """Each queue by one worker, until it is empty: what a turn begins, the next one ends."""
    for queue, worker in workers.items():
        done: tuple[Receipt, ...] = ()
        for n in count():
            told = bench.world.attempts.turn(
                WorkerTurn(
                    worker=worker,
                    queue=queue,
                    lease_s=600,
                    number=f"{tick}.{n}",
                    done=done,
                    most=A_TURN,
                    budget_s=1.0,
                    task_durations={SHORT.task: SHORT.duration_s},
                    is_idle=True,
                    news={SHORT.task: SHORT.duration_s},
                )
            )
            held = [one.reservation for one in told.started]
            done = tuple(an_end(r.job_id, r.task, r.node, r.attempt) for r in held)
            if not done:
                break


def an_end(job_id: str, task: str, node: str = "node00000", attempt: int = 1) -> Receipt:
    return Receipt(
        v=1,
        job_id=job_id,
        attempt=attempt,
        workflow="w",
        task=task,
        outcome="ok",
        started_at=1.0,
        ended_at=61.0,
        node=node,
        worker="w",
    )


def fill(bench: TickBench, nodes: int) -> None:
    """Until no tick hands anything over: all devices are taken."""
    held, limit = -1, time.monotonic() + 600
    while len(bench.world.handover.reservations()) != held and time.monotonic() < limit:
        held = len(bench.world.handover.reservations())
        for _ in range(3):
            bench.tick()
            begin(bench, in_state(bench, "admitted"))


def in_state(bench: TickBench, state: str) -> list[Reservation]:
    return [r for r in bench.world.handover.reservations() if r.state == state]


def begin(bench: TickBench, admitted: Sequence[Reservation]) -> None:
    for r in admitted:
        worker = f"w-{r.job_id}"
        bench.client.lpop(PLAIN.rq_queue(r.queue))
        bench.world.attempts.start(r.job_id, r.attempt, worker, 600)
        bench.world.attempts.renew(worker, 600, (HeldReport(job_id=r.job_id, attempt=r.attempt),))


def end(bench: TickBench, running: Sequence[Reservation]) -> None:
    for r in running:
        bench.accept(r)


def median(rows: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", nargs="*", default=list(FIGURES))
    parser.add_argument("--nodes", default="1,10,64,100,1000")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as name, peer_env.shared_valkey(Path(name)) as url:
        for figure in given.figures:
            for nodes in given.nodes.split(","):
                row = measured(Path(name), url, int(nodes), FIGURES[figure])
                found.setdefault(figure, []).append(row)
                print(figure, "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


FIGURES = {"long": long_jobs, "short": short_jobs}


if __name__ == "__main__":
    sys.exit(main())
