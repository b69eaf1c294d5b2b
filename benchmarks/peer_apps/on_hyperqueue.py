"""HyperQueue: a real process for each task; no Redis at all. Its server and workers live in the sending
process.
"""

from __future__ import annotations

import os
import time

from hyperqueue import Job
from hyperqueue.cluster import LocalCluster, WorkerConfig

_COMMAND = ["sh", "-c", 'printf ........ >> "$BENCH_MARKS"']


def workers(variant: str, processes: int) -> list[list[str]]:
    return []


def send_many(case: str, count: int) -> None:
    """Returns when all have run, unlike the others: the cluster ends with this process."""
    if case != "noop":
        raise SystemExit(f"{case} is not played with HyperQueue")
    with LocalCluster(server_dir=f"{os.environ['BENCH_FOLDER']}/hyperqueue") as cluster:
        for _ in range(int(os.environ["BENCH_PROCESSES"])):
            cluster.start_worker(WorkerConfig(cores=1))
        client = cluster.client()
        job = Job(max_fails=0)
        for _ in range(count):
            job.program(_COMMAND, env={"BENCH_MARKS": os.environ["BENCH_MARKS"]}, stdout=None, stderr=None)
        print(time.monotonic_ns(), flush=True)
        client.wait_for_jobs([client.submit(job)])
