"""What an engine is given to run one attempt, and by which name."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineResources, Submission
from conductor.model.job_submission import ID_LETTERS
from conductor.model.ledger_entries import JobView
from conductor.model.report import SingleJobs
from conductor.model.snapshot import Reservation
from conductor.model.spec import TaskDecl, from_line

#: What `conductor exec` takes beside the body: the worker, and the child with nothing in it yet.
WORKER_MIB = 256
#: From the start of the engine's job to that of the body, and from its end to the receipt.
AROUND_S = 60.0


def job_key_of(prefix: str, generation: str, engine: str, job_id: str, attempt: int) -> str:
    """«cdr-1a2b3c-9f3e-lab-k3v7abcdefghijkl-2». An attempt's number is given once, also over ledgers that
    were emptied; the generation is there for people."""
    mark = hashlib.sha256(generation.encode()).hexdigest()[:4]
    return f"{prefix}{mark}-{engine}-{job_id[:ID_LETTERS]}-{attempt}"


def named_in(key: str, prefix: str, engine: str) -> tuple[str, int] | None:
    """(first letters of the job's id, attempt); None where it is no key of a job of ours at that engine."""
    words = key.removeprefix(prefix).split("-")
    if not key.startswith(prefix) or len(words) < 4 or words[1] != engine or not words[-1].isdigit():
        return None
    return "-".join(words[2:-1]), int(words[-1])


def single_jobs_of(engine: EngineSettings) -> SingleJobs:
    return SingleJobs(
        most=engine.max,
        cpus=engine.cpus,
        ram_mib=engine.ram_mib,
        devices=engine.devices,
        vram_mib=engine.vram_mib,
        time_s=engine.time_s,
    )


def job_submission_of(
    held: Reservation,
    job: JobView,
    name: str,
    engine: EngineSettings,
    project: Path,
    logs_dir: Path,
    tasks: Mapping[str, TaskDecl],
) -> Submission:
    """The same of its hosts holds as for a pilot (`pilot_submission.submission_of`). Its node is the engine:
    under that name its files and its memory were reserved."""
    spec, needs = from_line(job.line), job.job_class.needs
    decl = tasks.get(spec.task)
    timeout_s = spec.timeout_s if spec.timeout_s is not None or decl is None else decl.timeout_s
    return Submission(
        argv=(
            *(sys.executable, "-P", "-m", "conductor", "exec", held.job_id),
            *("--attempt", str(held.attempt)),
        ),
        environment={"CONDUCTOR_PROJECT": str(project), "CONDUCTOR_NODE": name},
        folder=str(project),
        output=str(logs_dir / f"jobs-{name}.out"),
        resources=EngineResources(
            cpus=max(1, math.ceil(held.cpu)),
            ram_mib=held.ram_mib + WORKER_MIB if held.ram_mib else engine.ram_mib,
            devices=needs.devices if needs.vram_mib else 0,
            gres=engine.gres,
            licences=engine.licences,
        ),
        time_limit_s=engine.time_s if timeout_s is None else min(engine.time_s, timeout_s + AROUND_S),
    )
