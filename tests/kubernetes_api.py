"""A server that behaves as the documents of Kubernetes and Kueue say of Jobs, pods, nodes and Workloads: one
node with two cores, one LocalQueue over it. Its pods are processes of this host. In the contract suite it
stands for a cluster, which cannot be had here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CPUS = 2
QUEUE = "kueue.x-k8s.io/queue-name"
JOB_PATH = re.compile(r"/apis/batch/v1/namespaces/default/jobs(?:/([a-z0-9-]+))?")

Thing = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PodCluster:
    """What its controllers would do beside, it does before each answer."""

    def __init__(self) -> None:
        self.jobs: dict[str, Thing] = {}
        self.pods: dict[str, Thing] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, float] = {}

    def turn(self) -> None:
        for name, process in list(self._processes.items()):
            self._look_at(name, process)
        for name, job in self.jobs.items():
            is_over = any(c["status"] == "True" for c in job["status"].get("conditions", []))
            if not is_over and job["spec"]["suspend"] and self._free() >= self._cpus(job):
                job["spec"]["suspend"] = False  # admitted by Kueue
            if not is_over and not job["spec"]["suspend"] and name not in self.pods:
                self._make_pod(name, job)
            if not is_over and name in self.pods and name not in self._processes:
                self._place(name, job)

    def post(self, job: Thing, is_rehearsal: bool) -> tuple[int, Thing]:
        name = job["metadata"]["name"]
        if name in self.jobs:
            return 409, {"reason": "AlreadyExists", "message": f'jobs.batch "{name}" already exists'}
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            return 422, {"reason": "Invalid", "message": f'Job.batch "{name}" is invalid'}
        job["metadata"]["uid"], job["status"] = str(uuid.uuid4()), {}
        if not is_rehearsal:
            self.jobs[name] = job
        return 201, job

    def patch(self, name: str, change: Thing) -> tuple[int, Thing]:
        job = self.jobs[name]
        job["metadata"].setdefault("annotations", {}).update(change["metadata"]["annotations"])
        job["spec"].update(change["spec"])
        return 200, job

    def delete(self, name: str) -> tuple[int, Thing]:
        job = self.jobs.pop(name)
        self.pods.pop(name, None)
        self._end(name)
        return 200, job

    def workloads(self) -> list[Thing]:
        words = "couldn't assign flavors to pod set main: insufficient unused quota for cpu, 1 more needed"
        condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": words}
        return [
            {
                "metadata": {"labels": {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}},
                "status": {"conditions": [condition] if job["spec"]["suspend"] else []},
            }
            for job in self.jobs.values()
            if QUEUE in job["metadata"]["labels"]
        ]

    def stop(self) -> None:
        for name in list(self._processes):
            self._end(name)

    def _look_at(self, name: str, process: subprocess.Popen[bytes]) -> None:
        job, pod = self.jobs[name], self.pods[name]
        code, limit_s = process.poll(), job["spec"]["activeDeadlineSeconds"]
        is_late = time.monotonic() >= self._began[name] + limit_s
        if code is None:
            if is_late:
                os.killpg(process.pid, signal.SIGTERM)
            return
        del self._processes[name]
        exit_code = code if code >= 0 else 128 - code
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        pod["status"]["containerStatuses"] = [{"state": {"terminated": {"exitCode": exit_code}}}]
        kind = "Complete" if code == 0 else "Failed"
        reason = (
            "DeadlineExceeded" if is_late else "CompletionsReached" if code == 0 else "BackoffLimitExceeded"
        )
        ended = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": now()}
        job["status"]["conditions"] = [ended]

    def _make_pod(self, name: str, job: Thing) -> None:
        job["status"]["startTime"] = now()
        labels = {**job["spec"]["template"]["metadata"]["labels"], "job-name": name}
        self.pods[name] = {"metadata": {"labels": labels}, "spec": {}, "status": {"phase": "Pending"}}

    def _place(self, name: str, job: Thing) -> None:
        pod = self.pods[name]
        if self._free() < self._cpus(job):
            words = "0/1 nodes are available: 1 Insufficient cpu."
            unplaced = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": words,
            }
            pod["status"]["conditions"] = [unplaced]
            return
        container = job["spec"]["template"]["spec"]["containers"][0]
        self._processes[name] = subprocess.Popen(
            [word.replace("$$", "$") for word in container["command"]], cwd=container["workingDir"],
            env={**os.environ, **_variables(container)}, start_new_session=True,
        )  # fmt: skip
        self._began[name] = time.monotonic()
        pod["spec"]["nodeName"] = "node-1"
        pod["status"] = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}

    def _end(self, name: str) -> None:
        if (process := self._processes.pop(name, None)) is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _free(self) -> int:
        return CPUS - sum(self._cpus(self.jobs[name]) for name in self._processes)

    def _cpus(self, job: Thing) -> int:
        return int(job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])


class KubernetesApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.cluster, self.lock, self.is_away = PodCluster(), threading.Lock(), False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def go_away(self) -> None:
        self.is_away = True

    def come_back(self) -> None:
        self.is_away = False

    def answer(self, method: str, target: str, body: Thing | None) -> tuple[int, Thing]:
        with self.lock:
            self.cluster.turn()
            return self._answer(method, urlsplit(target).path, parse_qs(urlsplit(target).query), body)

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Thing | None
    ) -> tuple[int, Thing]:
        cluster = self.cluster
        lists = {
            "/api/v1/namespaces/default/pods": list(cluster.pods.values()),
            "/apis/batch/v1/namespaces/default/jobs": list(cluster.jobs.values()),
            "/api/v1/nodes": [{"status": {"allocatable": {"cpu": f"{CPUS}000m", "memory": "8Gi"}}}],
            "/apis/kueue.x-k8s.io/v1beta1/namespaces/default/workloads": cluster.workloads(),
        }
        if method == "GET" and path in lists:
            return 200, {"items": [thing for thing in lists[path] if _is_meant(thing, query)]}
        match = JOB_PATH.fullmatch(path)
        name = match[1] if match else None
        if method == "POST" and match and body is not None:
            return cluster.post(body, is_rehearsal="dryRun" in query)
        if name not in cluster.jobs:
            return 404, {"reason": "NotFound", "message": f"{path} not found"}
        if method == "PATCH" and body is not None:
            return cluster.patch(name, body)
        return cluster.delete(name) if method == "DELETE" else (200, cluster.jobs[name])


def _variables(container: Thing) -> dict[str, str]:
    return {each["name"]: each["value"].replace("$$", "$") for each in container["env"]}


def _is_meant(thing: Thing, query: dict[str, list[str]]) -> bool:
    if "labelSelector" not in query:
        return True
    name, _, value = query["labelSelector"][0].partition("=")
    return bool(thing["metadata"]["labels"].get(name) == value)


class _Requests(BaseHTTPRequestHandler):
    def _respond(self) -> None:
        assert isinstance(self.server, KubernetesApi)
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        if self.server.is_away:
            self.close_connection = True
            return
        status, answer = self.server.answer(self.command, self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = _respond

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def running_api() -> Generator[KubernetesApi]:
    with KubernetesApi() as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
            api.cluster.stop()
