"""A submission as Slurm is asked for it: the options of `sbatch`, and the script that a shell reads there."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from conductor.model.engine import Submission


def request(submission: Submission, account: str) -> list[str]:
    wanted = submission.resources
    devices = {"gpu": wanted.devices} if wanted.devices else {}
    return [
        *([f"--account={account}"] if account else []),
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={wanted.cpus}",
        # Without it a partition may give all of a host's memory to one job.
        f"--mem={wanted.ram_mib}M",
        *_listed("--gres", {**devices, **wanted.gres}),
        *_listed("--licenses", wanted.licences),
        f"--time={math.ceil(submission.time_limit_s / 60)}",
        f"--chdir={submission.folder}",
        # The script opens the file itself: in a name that Slurm reads, a % means something.
        "--output=/dev/null",
        "--no-requeue",
        "--dependency=singleton",
        # What its user has after a login there. Of ours, which may hold secrets, it gets nothing.
        "--export=NIL",
    ]


def script(submission: Submission) -> str:
    """Every word is quoted. The shell becomes the program, so that signals reach it."""
    exports = [f"export {shlex.quote(f'{name}={value}')}" for name, value in submission.environment.items()]
    output = shlex.quote(submission.output or "/dev/null")
    return "\n".join(("#!/bin/sh", *exports, f"exec {shlex.join(submission.argv)} >>{output} 2>&1", ""))


def _listed(option: str, amounts: Mapping[str, int]) -> list[str]:
    return [f"{option}={','.join(f'{name}:{n}' for name, n in amounts.items())}"] if amounts else []
