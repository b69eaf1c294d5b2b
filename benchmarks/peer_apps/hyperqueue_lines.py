"""Lines of shell as HyperQueue's tasks: `python hyperqueue_lines.py SERVER_FOLDER`, on stdin
`{"lines", "last", "folder", "cores"}`.

Each line is a task of one core in `folder`; `last`, where there is one, begins when all have ended. Where one
fails this process ends with an error.
"""

from __future__ import annotations

import json
import sys

from hyperqueue import Job
from hyperqueue.cluster import LocalCluster, WorkerConfig


def main() -> None:
    asked = json.load(sys.stdin)
    with LocalCluster(server_dir=sys.argv[1]) as cluster:
        cluster.start_worker(WorkerConfig(cores=asked["cores"]))
        client = cluster.client()
        job = Job(default_workdir=asked["folder"], max_fails=0)
        tasks = [job.program(["sh", "-c", line], stdout=None, stderr=None) for line in asked["lines"]]
        if asked["last"]:
            job.program(["sh", "-c", asked["last"]], stdout=None, stderr=None, deps=tasks)
        client.wait_for_jobs([client.submit(job)])


if __name__ == "__main__":
    main()
