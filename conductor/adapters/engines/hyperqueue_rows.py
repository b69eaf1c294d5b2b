"""What `hq` is asked for, and what it prints, as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from conductor.model.engine import EngineEnd, EngineJob, Submission

_ENDS: dict[str, EngineEnd] = {"finished": "done", "canceled": "cancelled", "failed": "failed"}
#: As its server words it, of a task that used up its time, and of one whose program failed.
_OUT_OF_TIME, _EXIT_CODE = "time limit", re.compile(r"exit code (\d+)")


def request(key: str, submission: Submission) -> Iterable[str]:
    wanted, output = submission.resources, submission.output or "none"
    amounts = {"mem": wanted.ram_mib, "gpus/nvidia": wanted.devices, **wanted.gres, **wanted.licences}
    yield from (f"--name={key}", f"--cwd={submission.folder}", f"--stdout={output}", f"--stderr={output}")
    yield from (f"--env={name}={value}" for name, value in submission.environment.items())
    yield f"--cpus={wanted.cpus}"
    yield from (f"--resource={name}={amount}" for name, amount in amounts.items() if amount)
    # A task whose worker is lost would be begun again: a key begins once.
    yield from (f"--time-limit={submission.time_limit_s:.0f}s", "--crash-limit=1", "--", *submission.argv)


def state_of(row: dict[str, Any]) -> str:
    """Of a job with one task."""
    stats = row["task_stats"]
    return next((name for name in ("running", "failed", "canceled", "finished") if stats[name]), "waiting")


def count_of(worker: dict[str, Any], name: str) -> int:
    """How many of a resource that is counted by its members; 0 where the worker has none."""
    for resource in worker["configuration"]["resources"]["resources"]:
        if resource["name"] == name:
            members = resource.get("values") or [m for group in resource.get("groups", ()) for m in group]
            return len(members) or int(resource.get("end", -1)) - int(resource.get("start", 0)) + 1
    return 0


def job_of(told: dict[str, Any], hosts: dict[int, str]) -> EngineJob:
    """Of one that runs or has ended, by `job info`. `hosts`: worker → where it is."""
    id, state, task = told["info"]["id"], state_of(told["info"]), told["tasks"][0]
    why = str(task.get("error", ""))
    code = _EXIT_CODE.search(why)
    is_over = state != "running"
    return EngineJob(
        state="ended" if is_over else "running",
        id=str(id),
        reason=why,
        host=hosts.get(task.get("worker", -1), ""),
        started_at=_time(task.get("started_at")),
        ends_at=_time(task.get("finished_at")),
        end=("time" if _OUT_OF_TIME in why.lower() else _ENDS[state]) if is_over else None,
        exit_code=0 if state == "finished" else int(code[1]) if code else None,
    )


def _time(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
