"""What `squeue` and `sinfo` print, read: columns of fixed width, since names of other people's jobs may hold
any character.
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Iterator
from contextlib import suppress

from conductor.model.engine import EngineCapacity, EngineEnd, EngineJob, EngineJobState

#: A column and its width. A key has at most 63 characters.
_JOB = {"Name": 64, "JobID": 16, "State": 16, "Reason": 64, "exit_code": 12, "StartTime": 16, "EndTime": 16}
_JOB["BatchHost"] = 64
_NODE = {"NodeList": 64, "CPUsState": 32, "Gres": 256, "GresUsed": 256}

#: «pending» here is what Slurm may still start, «running» what holds its place. All else has ended.
_WAITS = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_RUNS = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
#: Its host is gone: a body may run on behind a cut network.
_LOST = ("NODE_FAIL", "UNKNOWN")
_ENDS: dict[str, EngineEnd] = {
    "COMPLETED": "done", "CANCELLED": "cancelled", "TIMEOUT": "time", "DEADLINE": "time",
    "PREEMPTED": "killed", "OUT_OF_MEMORY": "killed", "REVOKED": "killed",
}  # fmt: skip

_SIGNALS: dict[int, EngineEnd] = {0: "failed", signal.SIGTERM: "cancelled"}
#: Of nodes that run jobs, or would.
_USABLE = "idle|mixed|allocated|completing|planned"


def _format(columns: dict[str, int]) -> str:
    return "--Format=" + ",".join(f"{name}:{width}" for name, width in columns.items())


#: For `squeue`, with times in epoch seconds.
JOB_FORMAT = _format(_JOB)
#: For `sinfo`, the first one with `--Node`.
NODE_FORMAT, LIMIT_FORMAT, STATE_FORMAT = _format(_NODE), "--format=%P %l", "--format=%T"


def _cells(text: str, columns: dict[str, int]) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        at, found = 0, dict[str, str]()
        for name, width in columns.items():
            found[name] = line[at : at + width].strip()
            at += width
        yield found


def queue_rows(text: str, prefix: str) -> list[tuple[str, EngineJob]]:
    """Keys that begin with `prefix`, with their jobs; `text`: what `squeue` printed with `JOB_FORMAT`."""
    return [(row["Name"], _job(row)) for row in _cells(text, _JOB) if row["Name"].startswith(prefix)]


def _job(row: dict[str, str]) -> EngineJob:
    word, reason = row["State"], row["Reason"]
    state: EngineJobState = (
        "pending" if word in _WAITS else "running" if word in _RUNS else "lost" if word in _LOST else "ended"
    )
    status = int(row["exit_code"]) if row["exit_code"].isdigit() else 0
    is_over = state == "ended"
    return EngineJob(
        state=state,
        id=row["JobID"],
        reason=(reason if reason != "None" else "") if state == "pending" else word if is_over else "",
        expected_at=_time(row["StartTime"]) if state == "pending" else None,
        host=row["BatchHost"] if row["BatchHost"] != "n/a" else "",
        started_at=_time(row["StartTime"]) if state != "pending" else None,
        ends_at=_time(row["EndTime"]) if state != "pending" else None,
        # As `wait` has it: the exit code above the signal. By SIGTERM: somebody told it to end.
        end=_ENDS.get(word, _SIGNALS.get(status & 0x7F, "killed")) if is_over else None,
        exit_code=status >> 8 if is_over else None,
    )


def _time(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None


def capacity_of(text: str, pending: int) -> EngineCapacity:
    """`text`: what `sinfo --Node` printed with `NODE_FORMAT`, a line for each node in each partition."""
    nodes = {row["NodeList"]: row for row in _cells(text, _NODE)}
    # Allocated, idle, other (down, drained), all.
    cores = [[int(part) for part in row["CPUsState"].split("/")] for row in nodes.values()]
    has, used = (sum(_gpus(row[column]) for row in nodes.values()) for column in ("Gres", "GresUsed"))
    return EngineCapacity(
        cpus=sum(counts[3] for counts in cores), free_cpus=sum(counts[1] for counts in cores),
        devices=has, free_devices=max(0, has - used), pending=pending,
    )  # fmt: skip


def are_all_usable(text: str) -> bool:
    """`text`: what `sinfo` printed with `STATE_FORMAT`, a line for each state; «*» marks those that do not
    answer, other marks those that sleep, or are about to."""
    return all(re.fullmatch(rf"({_USABLE})[^*\w]*", state) for state in text.split())


def _gpus(text: str) -> int:
    """Of `gpu:a100:4(S:0-1),vram:24`."""
    return sum(int(count) for count in re.findall(r"(?:^|,)gpu(?::[^:,(]+)?:(\d+)", text))


def limit_s(text: str, partition: str) -> float:
    """How long a job may run in `partition` ("": the one that Slurm takes by default); `text`: what `sinfo`
    printed with `LIMIT_FORMAT`. Infinite where there is no limit, or none is told.
    """
    for name, _, limit in (line.strip().partition(" ") for line in text.splitlines()):
        if name.rstrip("*") == partition or (not partition and name.endswith("*")):
            return _duration_s(limit)
    return math.inf


def _duration_s(text: str) -> float:
    """Of `1-12:00:00`, `12:00:00` or `10:00`."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return math.inf
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
