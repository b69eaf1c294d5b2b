"""Engine `kubernetes`: Jobs of its batch API, through Kueue where `partition` names a LocalQueue. Written by
the documents of Kubernetes 1.30 and Kueue 0.9, and tried against a server that behaves as they say: no real
cluster was seen.

The key is the name of the Job: a second one of that name is a conflict (409), and is adopted.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from conductor.adapters.engines.json_api import JsonApi
from conductor.adapters.engines.kubernetes_jobs import (
    CANCELLED,
    GPU,
    JOB_UID,
    LABEL,
    Manifest,
    cores,
    engine_job,
    job_manifest,
    waits_in_queue,
)
from conductor.base.errors import ConfigError, Unreachable
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineCapacity, EngineChanges, EngineJob, Submission, SubmitAnswer

#: What an object of the API is changed by, in part.
MERGE = "application/merge-patch+json"


class KubernetesEngine:
    def __init__(self, settings: EngineSettings, prefix: str, patience_s: float = 10.0) -> None:
        """Raises `ConfigError` where `template` is no Job."""
        self._queue, self._prefix = settings.partition, prefix
        self._template = _read(settings.template)
        #: Labels end with a letter or a digit.
        self._label = prefix.rstrip("-")
        self._api = JsonApi(settings.url, settings.token_file, settings.ca_file, patience_s)
        namespace = f"namespaces/{settings.namespace}"
        self._jobs = f"/apis/batch/v1/{namespace}/jobs"
        self._pods = f"/api/v1/{namespace}/pods"
        self._workloads = f"/apis/kueue.x-k8s.io/v1beta1/{namespace}/workloads"
        #: What we had removed before it began: the cluster keeps nothing of it.
        self._removed = set[str]()

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        try:
            if words := self.feasible(submission):
                return SubmitAnswer(outcome="refused", words=words)
            status, body = self._api.ask("POST", self._jobs, self._manifest(key, submission))
            if status == 409:  # it is there: the name is taken as long as anything of it is
                status, body = self._api.ask("GET", f"{self._jobs}/{key}")
        except Unreachable as e:
            return SubmitAnswer(outcome="unknown", words=str(e))
        if status in (200, 201, 202):
            return SubmitAnswer(outcome="placed", id=str(body["metadata"]["uid"]))
        words = f"Kubernetes answers {status}: {_message(body)}"
        return SubmitAnswer(outcome="refused" if 400 <= status < 500 else "unknown", words=words)

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        jobs = self.watch().jobs if keys else {}
        return {key: jobs[key] for key in keys if key in jobs}

    def watch(self, cursor: str = "") -> EngineChanges:
        """Each time all of them: a cluster keeps what ended for a day (`ttlSecondsAfterFinished`)."""
        selector = f"?labelSelector={LABEL}%3D{self._label}"
        pods = {pod["metadata"]["labels"]["job-name"]: pod for pod in self._list(self._pods + selector)}
        reasons = self._reasons() if self._queue else {}
        jobs = {
            name: engine_job(job, pods.get(name), reasons.get(job["metadata"]["uid"], ""))
            for job in self._list(self._jobs + selector)
            if (name := job["metadata"]["name"]).startswith(self._prefix)
        }
        gone = {key: EngineJob(state="ended", end="cancelled") for key in self._removed - jobs.keys()}
        return EngineChanges(cursor=cursor, jobs={**gone, **jobs})

    def cancel(self, key: str) -> bool:
        job = self.find([key]).get(key)
        if job is None or job.state not in ("pending", "running"):
            return False
        if job.state == "pending":
            self._api.ask("DELETE", f"{self._jobs}/{key}?propagationPolicy=Background")
            self._removed.add(key)
            return True
        # Its pod gets SIGTERM and its time, and its end can still be read, also by another conductor.
        change = {"metadata": {"annotations": {CANCELLED: "true"}}, "spec": {"activeDeadlineSeconds": 1}}
        self._api.ask("PATCH", f"{self._jobs}/{key}", change, MERGE)
        return True

    def capacity(self) -> EngineCapacity:
        """What its nodes have, where we may look at them; what is free only the scheduler knows."""
        nodes = self._nodes()
        if not nodes:
            return EngineCapacity()
        cpus, devices = (sum(cores(node.get(name, "0")) for node in nodes) for name in ("cpu", GPU))
        return EngineCapacity(cpus=int(cpus), devices=int(devices))

    def feasible(self, submission: Submission) -> str:
        """What no node could run a cluster lets wait for ever. Of all else a rehearsal says what is wrong."""
        if submission.resources.licences:
            return "Kubernetes counts no licences"
        wanted, nodes = submission.resources, self._nodes()
        amounts = {"cpu": wanted.cpus, GPU: wanted.devices, **wanted.gres}
        has_room = (all(cores(n.get(name, "0")) >= amount for name, amount in amounts.items()) for n in nodes)
        if nodes and not any(has_room):
            return "no node has " + ", ".join(f"{n} {name}" for name, n in amounts.items() if n)
        manifest = self._manifest(f"{self._label}-rehearsal", submission)
        status, body = self._api.ask("POST", f"{self._jobs}?dryRun=All", manifest)
        return _message(body) if 400 <= status < 500 and status != 409 else ""

    def _manifest(self, key: str, submission: Submission) -> Manifest:
        return job_manifest(key, self._label, submission, self._queue, self._template)

    def _reasons(self) -> dict[str, str]:
        """By the uid of the Job, of what waits in the queue."""
        waiting = ((w["metadata"].get("labels", {}), waits_in_queue(w)) for w in self._list(self._workloads))
        return {labels[JOB_UID]: words for labels, words in waiting if JOB_UID in labels}

    def _nodes(self) -> list[dict[str, str]]:
        """Empty where nobody lets us look."""
        status, body = self._api.ask("GET", "/api/v1/nodes")
        return [node["status"]["allocatable"] for node in body["items"]] if status == 200 else []

    def _list(self, path: str) -> list[Manifest]:
        return list(self._api.get(path)["items"])


def _message(body: Any) -> str:
    return str(body.get("message", "")) if isinstance(body, dict) else str(body)[:200]


def _read(template: str) -> Manifest:
    """Raises `ConfigError`."""
    try:
        job = msgspec.json.decode(Path(template).read_bytes(), type=Manifest)
        job["spec"]["template"]["spec"]["containers"][0]["image"]
    except (OSError, msgspec.MsgspecError, LookupError, TypeError) as e:
        words = "has to be a Job as JSON, with an image in its first container (docs/engines.md has one)"
        raise ConfigError(f"{template or 'the template of the engine'} {words}: {e}") from e
    return job
