"""Engine `ray`: by the jobs API of its dashboard (Ray 2.30 or later). Jobs and what is known of them end with
the head of the cluster.

The key is the `submission_id`, which Ray takes once.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Any

from conductor.adapters.engines.json_api import JsonApi
from conductor.base.errors import Unreachable
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import (
    EngineCapacity,
    EngineChanges,
    EngineEnd,
    EngineJob,
    EngineResources,
    Submission,
    SubmitAnswer,
)

JOBS = "/api/jobs/"
#: Of a submission that used up its time: Ray has no limit, so `timeout` runs it.
OUT_OF_TIME = 124
#: Between SIGTERM and SIGKILL then.
KILL_AFTER_S = 30
#: The process that watched over it is gone, and Ray cannot tell whether it runs on.
LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")


class RayEngine:
    def __init__(self, settings: EngineSettings, prefix: str, patience_s: float = 10.0) -> None:
        self._api = JsonApi(settings.url, settings.token_file, settings.ca_file, patience_s)
        self._prefix = prefix

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        try:
            if self.find([key]):
                return SubmitAnswer(outcome="placed", id=key)
            if words := self.feasible(submission):
                return SubmitAnswer(outcome="refused", words=words)
            status, body = self._api.ask("POST", JOBS, _request(key, submission))
        except Unreachable as e:
            return SubmitAnswer(outcome="unknown", words=str(e))
        if status == 200 or "already exists" in str(body):
            return SubmitAnswer(outcome="placed", id=key)
        words = f"Ray answers {status}: {str(body).strip()[-300:]}"
        return SubmitAnswer(outcome="refused" if 400 <= status < 500 else "unknown", words=words)

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        jobs = self.watch().jobs if keys else {}
        return {key: jobs[key] for key in keys if key in jobs}

    def watch(self, cursor: str = "") -> EngineChanges:
        """Each time all of them: the cluster keeps them to its end."""
        told = self._api.get(JOBS)
        waiting = sorted(
            (job for job in told if job["status"] == "PENDING"), key=lambda job: job["start_time"]
        )
        position = {job["submission_id"]: n for n, job in enumerate(waiting, start=1)}
        ours = {
            job["submission_id"]: job for job in told if (job["submission_id"] or "").startswith(self._prefix)
        }
        return EngineChanges(
            cursor=cursor, jobs={key: _job(key, job, position.get(key)) for key, job in ours.items()}
        )

    def cancel(self, key: str) -> bool:
        status, body = self._api.ask("POST", f"{JOBS}{key}/stop")
        if status not in (200, 404):
            raise Unreachable(f"Ray answers {status} to the stop of {key}: {str(body)[-200:]}")
        return status == 200 and bool(body["stopped"])

    def capacity(self) -> EngineCapacity:
        used = self._load()["usage"]
        (cpus_used, cpus), (gpus_used, gpus) = used.get("CPU", (0, 0)), used.get("GPU", (0, 0))
        return EngineCapacity(
            cpus=int(cpus),
            free_cpus=int(cpus - cpus_used),
            devices=int(gpus),
            free_devices=int(gpus - gpus_used),
        )

    def feasible(self, submission: Submission) -> str:
        """Ray lets what no node could run wait for ever, in silence."""
        if submission.resources.licences:
            return "Ray counts no licences"
        wanted = _resources(submission.resources)
        nodes = [node for node, _ in self._load()["nodeTypes"]]
        if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
            return ""
        return "no node of the cluster has " + ", ".join(
            f"{amount:g} {name}" for name, amount in wanted.items()
        )

    def _load(self) -> Any:
        status = (self._api.get("/api/cluster_status?format=0")["data"] or {}).get("clusterStatus")
        load = (status or {}).get("loadMetricsReport")
        if not load or not load["nodeTypes"]:
            raise Unreachable("the head of Ray has just begun and does not know its nodes yet")
        return load


def _resources(wanted: EngineResources) -> dict[str, float]:
    """As Ray names them."""
    devices = {"GPU": wanted.devices} if wanted.devices else {}
    return {"CPU": wanted.cpus, "memory": wanted.ram_mib << 20, **devices, **wanted.gres}


def _request(key: str, submission: Submission) -> Mapping[str, Any]:
    wanted = submission.resources
    limited = ("timeout", f"--kill-after={KILL_AFTER_S}", f"{submission.time_limit_s:g}", *submission.argv)
    variables = (f"{name}={value}" for name, value in submission.environment.items())
    line = f"cd {shlex.quote(submission.folder)} && exec env {shlex.join((*variables, *limited))}"
    return {
        "submission_id": key,
        # A shell reads it. Ray's own variables for each job would first have it make an environment.
        "entrypoint": f"{line} >>{shlex.quote(submission.output or '/dev/null')} 2>&1",
        "entrypoint_num_cpus": wanted.cpus,
        "entrypoint_num_gpus": wanted.devices,
        "entrypoint_memory": wanted.ram_mib << 20,
        "entrypoint_resources": wanted.gres,
    }


def _job(key: str, job: Mapping[str, Any], position: int | None) -> EngineJob:
    status, message = job["status"], str(job["message"] or "")
    if status in ("PENDING", "RUNNING"):
        runs = status == "RUNNING"
        return EngineJob(
            state="running" if runs else "pending", id=key, position=position,
            reason="" if runs else message[:200], host=_host(job) if runs else "",
            started_at=job["start_time"] / 1000 if runs else None,
        )  # fmt: skip
    if job["error_type"] in LOST:
        return EngineJob(state="lost", id=key, reason=message[:200])
    code = job["driver_exit_code"]
    ends: dict[str, EngineEnd] = {"SUCCEEDED": "done", "STOPPED": "cancelled"}
    failure: EngineEnd = (
        "time" if code == OUT_OF_TIME else "killed" if code is not None and code < 0 else "failed"
    )
    ended_at = job["end_time"] / 1000 if job["end_time"] else None
    return EngineJob(
        state="ended", id=key, reason=message.partition(", last available logs")[0][:200],
        end=ends.get(status, failure), exit_code=max(code, 0) if code is not None else None, ends_at=ended_at,
    )  # fmt: skip


def _host(job: Mapping[str, Any]) -> str:
    """The address of its node: Ray knows no names."""
    return str(job["driver_agent_http_address"] or "").removeprefix("http://").rpartition(":")[0]
