"""The three forms of a trace, told apart by their content: neutral JSONL, openb's CSV of pods, WfFormat
JSON.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import msgspec
import orjson

from conductor.base.errors import UsageError
from conductor.model.identity import ID
from conductor.model.spec import JobSpec, Lane, Needs
from conductor.planning import job

NAME = "trace"
TASK = "trace.job"
MIB = 1 << 20
#: What a whole GPU of an openb trace is taken for.
GPU_MIB = 24576
#: The longest duration that a manifest can name.
LONGEST_S = 10_000_000.0


class TraceLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a neutral trace. Absent means: none needed."""

    id: int | str
    duration_s: float
    arrival_s: float = 0.0
    limit_s: float | None = None
    vram_mib: int = 0
    devices: int = 1
    cpu_milli: int = 0
    mem_mib: int = 0
    scratch_bytes: int = 0
    priority: int = 0


def specs(file: Path) -> Iterator[JobSpec]:
    """The jobs of a trace. Raises `UsageError` when the file is none of the three forms, or a line of it
    is bad.
    """
    try:
        content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as e:
        raise UsageError(f"{file} cannot be read: {e.strerror}") from None
    start = content.lstrip()[:1]
    if start == b"{" and (whole := _whole(content)) is not None:
        return wfformat(whole, file.stem)
    if start == b"{":
        return (line_job(line, file.stem) for line in neutral(content, file))
    if b"gpu_milli" in content.partition(b"\n")[0]:
        return (line_job(line, file.stem) for line in openb(content, file))
    raise UsageError(
        f"{file} is no trace: neither JSONL with duration_s, nor a CSV of openb pods, nor WfFormat JSON"
    )


def _whole(content: bytes) -> Mapping[str, Any] | None:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return value if "workflow" in value else None


# ── jobs with an arrival, each for itself ─────────────────────────────────────────────────────────────────


def neutral(content: bytes, file: Path) -> Iterator[TraceLine]:
    decoder = msgspec.json.Decoder(TraceLine)
    for number, raw in enumerate(content.splitlines(), 1):
        if raw.strip():
            try:
                yield decoder.decode(raw)
            except msgspec.DecodeError as e:
                raise UsageError(f"{file}:{number}: {e}") from None


def openb(content: bytes, file: Path) -> Iterator[TraceLine]:
    """Pods of Alibaba's cluster: shares of a GPU in thousandths. Arrivals count from the first one."""
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    first = min((_number(row.get("creation_time")) for row in rows), default=0.0)
    for number, row in enumerate(rows, 2):
        try:
            yield _pod(row, first)
        except (KeyError, ValueError) as e:
            raise UsageError(f"{file}:{number}: {e} is missing or not a number") from None


def _pod(row: Mapping[str, str], first: float) -> TraceLine:
    gpus, share = int(row["num_gpu"]), int(row["gpu_milli"] or 0)
    begin = _number(row.get("scheduled_time")) or _number(row.get("creation_time"))
    duration = _number(row.get("deletion_time")) - begin
    return TraceLine(
        id=row["name"],
        arrival_s=_number(row.get("creation_time")) - first,
        duration_s=min(LONGEST_S, max(0.0, duration)),
        vram_mib=0 if gpus == 0 else GPU_MIB if gpus > 1 else share * GPU_MIB // 1000,
        devices=max(1, gpus),
        cpu_milli=int(row["cpu_milli"] or 0),
        mem_mib=int(row["memory_mib"] or 0),
    )


def _number(text: str | None) -> float:
    return float(text) if text else 0.0


def line_job(line: TraceLine, stem: str) -> JobSpec:
    lane: Lane = "gpu" if line.vram_mib else "cpu"
    return job(
        NAME,
        TASK,
        {"trace": stem, "name": line.id, "arrival_s": line.arrival_s},
        needs=Needs(
            vram_mib=line.vram_mib,
            devices=line.devices,
            ram_mib=line.mem_mib,
            cpu=line.cpu_milli / 1000,
            scratch_bytes=line.scratch_bytes,
        ),
        duration_s=line.duration_s,
        timeout_s=line.limit_s,
        lane=lane,
        priority=line.priority,
    )


# ── a workflow: files that live until their last reader ends ──────────────────────────────────────────────


def wfformat(document: Mapping[str, Any], stem: str) -> Iterator[JobSpec]:
    """One job a task, those that are waited for first. External inputs are not on scratch, so they are not
    read.
    """
    workflow = document["workflow"]
    tasks = {task["id"]: task for task in workflow["specification"]["tasks"]}
    ran = {task["id"]: task for task in workflow.get("execution", {}).get("tasks", ())}
    size = {file["id"]: file["sizeInBytes"] for file in workflow["specification"].get("files", ())}
    maker: dict[str, str] = {}
    for name, task in tasks.items():
        for file in task.get("outputFiles", ()):
            maker.setdefault(file, name)
    waits = {name: _waits(name, task, maker, tasks) for name, task in tasks.items()}
    made: dict[str, JobSpec] = {}
    path: dict[str, str] = {}
    for name in _in_order(waits, stem):
        outputs = tasks[name].get("outputFiles", ())
        made[name] = spec = job(
            NAME,
            TASK,
            {"trace": stem, "name": name},
            reads=tuple(
                path[f]
                for f in dict.fromkeys(tasks[name].get("inputFiles", ()))
                if maker.get(f, name) != name
            ),
            writes={f"scratch:{NAME}/{ID}/{i}": round(size.get(f, 0)) for i, f in enumerate(outputs)},
            after=tuple(made[other] for other in waits[name]),
            needs=_needs(ran.get(name, {})),
            duration_s=float(ran.get(name, {}).get("runtimeInSeconds", 0.0)),
        )
        path |= {f: o.path for f, o in zip(outputs, spec.writes, strict=True) if maker[f] == name}
        yield spec


def _needs(ran: Mapping[str, Any]) -> Needs:
    return Needs(cpu=ran.get("coreCount", 1), ram_mib=math.ceil(ran.get("memoryInBytes", 0) / MIB))


def _waits(
    name: str, task: Mapping[str, Any], maker: Mapping[str, str], tasks: Mapping[str, Any]
) -> list[str]:
    makers: Iterable[str] = (maker[file] for file in task.get("inputFiles", ()) if file in maker)
    return [
        other
        for other in dict.fromkeys((*task.get("parents", ()), *makers))
        if other != name and other in tasks
    ]


def _in_order(waits: Mapping[str, list[str]], stem: str) -> Iterable[str]:
    try:
        return tuple(TopologicalSorter(waits).static_order())
    except CycleError as e:
        raise UsageError(f"{stem}: {' → '.join(e.args[1])} wait for each other in a circle") from None
