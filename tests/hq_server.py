"""A HyperQueue for tests, as its documents say: a program `hq` and the server that it asks. No real one was
seen.

What it runs is run by engine `local`, with two cores.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conductor.adapters.engines.local import LocalEngine
from conductor.model.engine import EngineResources, Submission

CPUS = 2
#: bash, since it starts in two milliseconds.
PROGRAM = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\0' "$@" '' >&3
IFS= read -r status <&3
cat <&3
exit "$status"
"""
STATES = {"pending": "waiting", "running": "running"}
ENDED = ("finished", "failed", "canceled")
ENDS = {"done": "finished", "failed": "failed", "killed": "failed", "time": "failed", "cancelled": "canceled"}


class HqServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HqCall)
        self.engine = LocalEngine(cpus=CPUS, ram_mib=8192)
        self.names: list[str] = []
        self.is_away = False
        self.lock = threading.Lock()

    def go_away(self) -> None:
        self.is_away = True

    def come_back(self) -> None:
        self.is_away = False

    def answer(self, words: list[str]) -> Any:
        if self.is_away:
            raise ConnectionError("Could not connect to the server")
        mode, *words = words
        assert mode == "--output-mode=json", mode
        match words:
            case ["submit", *request]:
                return {"id": self._submit(request)}
            case ["job", "list", "--all"]:
                return [self._row(id) for id in range(1, len(self.names) + 1)]
            case ["job", "info", ids]:
                return [{"info": self._row(int(id)), "tasks": [self._task(int(id))]} for id in ids.split(",")]
            case ["job", "cancel", id]:
                self.engine.cancel(f"job-{id}")
                return None
            case ["worker", "list"]:
                cores = {"name": "cpus", "kind": "range", "start": 0, "end": CPUS - 1}
                return [{"id": 1, "configuration": {"hostname": "n1", "resources": {"resources": [cores]}}}]
            case _:
                raise ValueError(f"hq has no such call: {words}")

    def _submit(self, request: list[str]) -> int:
        parser = argparse.ArgumentParser()
        for name in ("name", "cwd", "stdout", "stderr", "cpus", "time-limit", "crash-limit"):
            parser.add_argument(f"--{name}", required=True)
        parser.add_argument("--env", action="append", default=[])
        parser.add_argument("--resource", action="append", default=[])
        at = request.index("--")
        told = parser.parse_args(request[:at])
        self.names.append(told.name)
        self.engine.submit(
            f"job-{len(self.names)}",
            Submission(
                argv=tuple(request[at + 1 :]),
                folder=told.cwd,
                environment=dict(each.split("=", 1) for each in told.env),
                output="" if told.stdout == "none" else told.stdout,
                resources=EngineResources(cpus=int(told.cpus), ram_mib=64),
                time_limit_s=float(told.time_limit.removesuffix("s")),
            ),
        )
        return len(self.names)

    def _job(self, id: int) -> Any:
        return self.engine.find([f"job-{id}"])[f"job-{id}"]

    def _task(self, id: int) -> dict[str, Any]:
        job = self._job(id)
        task: dict[str, Any] = {"id": 0, "worker": 1}
        for name, at in (("started_at", job.started_at), ("finished_at", job.ends_at)):
            if at is not None and (name == "started_at" or job.state == "ended"):
                task[name] = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "123Z")
        if job.end == "time":
            task["error"] = "Time limit reached"
        elif job.end in ("failed", "killed"):
            task["error"] = f"Error: Program terminated with exit code {job.exit_code}"
        return task

    def _row(self, id: int) -> dict[str, Any]:
        job = self._job(id)
        state = STATES.get(job.state) or ENDS[job.end]
        stats = {
            name: int(name == state) for name in ("running", "finished", "failed", "canceled", "waiting")
        }
        return {"id": id, "name": self.names[id - 1], "task_count": 1, "task_stats": stats}


class HqCall(socketserver.StreamRequestHandler):
    server: HqServer

    def handle(self) -> None:
        said = b""
        while not said.endswith(b"\0\0"):
            said += self.request.recv(65536)
        try:
            with self.server.lock:
                status, told = 0, self.server.answer(said[:-2].decode().split("\0"))
        except (ValueError, ConnectionError, SystemExit) as e:
            status, told = 1, {"error": str(e)}
        self.wfile.write(f"{status}\n{'' if told is None else json.dumps(told)}".encode())


@contextmanager
def running_hq(folder: Path) -> Iterator[HqServer]:
    """The program `hq` is in `folder` then."""
    server = HqServer()
    (folder / "hq").write_text(PROGRAM.format(port=server.server_address[1]))
    (folder / "hq").chmod(0o755)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
