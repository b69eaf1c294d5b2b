"""A Job of Kubernetes as it is asked for, and what it says of itself."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from conductor.model.engine import EngineEnd, EngineJob, Submission

#: Which project's, and which engine's: what one question for all of them asks for.
LABEL = "conductor/pilots-of"
#: An annotation: its end was ours.
CANCELLED = "conductor/cancelled"
#: Labels of Kueue's: which LocalQueue a Job is for, and whose a Workload is.
QUEUE, JOB_UID = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/job-uid"
#: How long a cluster keeps what has ended, where the template does not say.
KEPT_S = 86_400
GPU = "nvidia.com/gpu"

Manifest = dict[str, Any]


def job_manifest(key: str, label: str, submission: Submission, queue: str, template: Manifest) -> Manifest:
    """`template`, a Job whose first container is to be the pilot, filled in. Its pod is never begun again."""
    job: Manifest = copy.deepcopy(template)
    labels = {LABEL: label}
    metadata, spec = job.setdefault("metadata", {}), job["spec"]
    metadata["name"] = key
    metadata["labels"] = {**metadata.get("labels", {}), **labels, **({QUEUE: queue} if queue else {})}
    spec.setdefault("ttlSecondsAfterFinished", KEPT_S)
    spec |= {
        "suspend": bool(queue), "parallelism": 1, "completions": 1, "backoffLimit": 0,
        "podReplacementPolicy": "Failed", "activeDeadlineSeconds": int(submission.time_limit_s),
    }  # fmt: skip
    pod = spec["template"]
    pod.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    pod["spec"]["restartPolicy"] = "Never"
    _fill(pod["spec"]["containers"][0], submission)
    return job


def _fill(container: Manifest, submission: Submission) -> None:
    wanted = submission.resources
    amounts = {"cpu": wanted.cpus, "memory": f"{wanted.ram_mib}Mi", **wanted.gres}
    amounts |= {GPU: wanted.devices} if wanted.devices else {}
    limits = {name: str(amount) for name, amount in amounts.items()}
    command = ("/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1', submission.output or "/dev/null", *submission.argv)
    # In a command `$(NAME)` would be filled in, and `$$` is a `$`.
    container |= {
        "command": [word.replace("$", "$$") for word in command],
        "workingDir": submission.folder,
        "resources": {"requests": limits, "limits": limits},
        "env": [
            *container.get("env", []),
            *(
                {"name": name, "value": value.replace("$", "$$")}
                for name, value in submission.environment.items()
            ),
        ],
    }
    container.pop("args", None)


def engine_job(job: Manifest, pod: Manifest | None, reason: str) -> EngineJob:
    """`pod`: the newest one of it. `reason`: why Kueue lets it wait."""
    spec, status = job["spec"], job.get("status", {})
    id, began_at = job["metadata"]["uid"], _time(status.get("startTime"))
    if ended := _condition(status, "Complete", "Failed"):
        end, code = _end(job, ended, pod)
        ends_at, words = _time(ended["lastTransitionTime"]), ended.get("reason", "")
        return EngineJob(state="ended", id=id, end=end, exit_code=code, ends_at=ends_at, reason=words)
    if spec.get("suspend"):
        return EngineJob(state="pending", id=id, reason=reason or "Suspended")
    phase = pod["status"].get("phase") if pod else None
    if pod is None or phase == "Pending":
        return EngineJob(state="pending", id=id, reason=_pod_waits(pod) if pod else "")
    if phase == "Unknown":
        return EngineJob(state="lost", id=id, reason=pod["status"].get("reason", ""))
    ends_at = began_at + spec["activeDeadlineSeconds"] if began_at is not None else None
    host = pod["spec"].get("nodeName", "")
    return EngineJob(state="running", id=id, host=host, started_at=began_at, ends_at=ends_at)


def _end(job: Manifest, ended: Mapping[str, Any], pod: Manifest | None) -> tuple[EngineEnd, int | None]:
    if ended["type"] == "Complete":
        return "done", 0
    if CANCELLED in job["metadata"].get("annotations", {}):
        return "cancelled", None
    if ended.get("reason") == "DeadlineExceeded":
        return "time", None
    containers = pod["status"].get("containerStatuses", []) if pod else []
    codes = [c["state"]["terminated"]["exitCode"] for c in containers if "terminated" in c["state"]]
    # Evicted, or taken away with its node: nobody has its exit code.
    return ("failed", codes[0]) if codes and 0 < codes[0] < 128 else ("killed", None)


def _pod_waits(pod: Manifest) -> str:
    """Why a pod does not begin: no node for it, or no image."""
    unplaced = _condition(pod["status"], "PodScheduled", is_met="False")
    waiting = (c["state"].get("waiting", {}) for c in pod["status"].get("containerStatuses", []))
    told: Iterable[Mapping[str, str]] = [unplaced] if unplaced else waiting
    return "; ".join(": ".join(filter(None, (each.get("reason"), each.get("message")))) for each in told)


def waits_in_queue(workload: Manifest) -> str:
    """What a Workload of Kueue says of why it waits; "": it does not."""
    waits = _condition(workload.get("status", {}), "QuotaReserved", is_met="False")
    return ": ".join(filter(None, (waits.get("reason"), waits.get("message")))) if waits else ""


def _condition(status: Mapping[str, Any], *types: str, is_met: str = "True") -> Mapping[str, Any]:
    met = (c for c in status.get("conditions", []) if c["type"] in types and c["status"] == is_met)
    return next(met, {})


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def cores(text: str) -> float:
    """Of `4` and `3920m`."""
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)
